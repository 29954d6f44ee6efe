// The tests of the model in TypeScript, which run no native code: runs of the suite on another binary or another Node leave them
// out.
export const modelTests = ['model/model', 'model/programs', 'model/verbs/programs', 'model/verbs/verbs'].map(
  (name) => `test/${name}\\.test`,
);
