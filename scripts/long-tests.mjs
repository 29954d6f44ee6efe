// Jest tests that take long and look for faults of the sources, in random programs, in races, or in what JavaScript does alone. One run
// of them, in `npm test`, is enough for each change: runs of the suite on another build or another Node leave them out, unless `--all`
// asks for them, as .ci/nightly does.
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
