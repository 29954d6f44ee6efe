// The tests that do not use the add-on that is under test: those of the model in TypeScript, and those of sources, scripts and
// builds. Runs of the suite on another binary or another Node leave them out.
export const testsWithoutAddon = [
  'model/model',
  'model/programs',
  'model/verbs/programs',
  'model/verbs/verbs',
  'package/arrows',
  'package/build-dist',
  'package/check-prebuild',
  'package/native-build',
  'package/release',
].map((name) => `test/${name}\\.test`);
