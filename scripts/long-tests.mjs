// Long Jest tests that `npm test` runs, but that jest-asan.mjs and test-prebuilt.mjs leave out unless they are called with `--all`, as
// .ci/nightly does. They look for faults of the sources (random programs, races, examples, command lines), which another build or
// another Node seldom changes.
export const longTests = [
  'explain/(altered|cli|hostile|stored)',
  'hostile/random-programs',
  'model/(verbs/|windows/)?property',
  'process/(bench|suite-guards)',
  'process/(key-value|nvme-target-double|ping-pong|remote-memory|s3-over-rdma)', // examples
  'replay/(cli|gunzip|player)',
  'threads/revocation',
  'threads/verbs-chaos',
].map((name) => `test/${name}`);
