// The long tests of endpoints: node scripts/wire-tests.mjs [plain|asan] (default: plain)
//
// 10,000 programs over the simulated links, and 1,000,000 altered packets. `npm run test:c` plays fewer.
const [mode = 'plain'] = process.argv.slice(2);
process.env.RVT_LINK_SEEDS ??= '10000';
process.env.RVT_HOSTILE_PACKETS ??= '1000000';
process.argv.splice(2, Infinity, mode, 'endpoint_link', 'endpoint_hostile', 'endpoint_uc');
await import('./c-tests.mjs');
