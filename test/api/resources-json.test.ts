// `JSON.stringify(device.resources())`: the documented JSON format and its schema.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import Ajv from 'ajv';
import { accepted } from '../support/answers';
import { ALL, DMA, dmaPages, open, PAGE, scene } from '../support/scene';

const schema = JSON.parse(readFileSync(join(__dirname, '../../docs/resources.schema.json'), 'utf8'));

/**
 * Returns the schema with additional properties forbidden, so that a check also finds properties that the schema does not
 * describe.
 */
function strict(part: any): any {
  if (typeof part !== 'object' || part === null) return part;
  if (Array.isArray(part)) return part.map(strict);
  const copy = Object.fromEntries(Object.entries(part).map(([name, value]) => [name, strict(value)]));
  return copy.properties && copy.type === 'object' ? { ...copy, additionalProperties: false } : copy;
}
const validate = new Ajv({ allErrors: true }).compile(strict(schema));
const check = (value: unknown): unknown => (validate(value) ? [] : validate.errors);

function full() {
  const { device, pd, qp } = scene({ trusted: true, captureStacks: true });
  const cq = device.createCq(4);
  const srq = pd.createSrq({ maxWr: 2, maxSge: 1 });
  pd.createAh({ dlid: 1 });
  pd.createQp({ type: 'UC', sendCq: cq }).connect(pd.createQp({ type: 'UC', sendCq: cq, srq }), {
    access: 0,
  });
  dmaPages(device, 2);
  const mr = pd.regUserMr(new Uint8Array(new SharedArrayBuffer(64), 8, 40), {
    iova: 2n ** 64n - 40n,
    access: 5,
  });
  pd.getDmaMr({ access: 31 });
  pd.allocMr({ maxNumSg: 8 }).mapSg([{ addr: DMA, length: PAGE }]);
  pd.allocFmr({ maxPages: 5, access: ALL }).mapPhys([DMA], 0x7000n);
  pd.regUserMr(device.allocDm(100).buffer);
  accepted(qp.acquire({ vaddr: mr.iova, length: 8, rkey: mr.rkey }, 4));
  const batch = pd.lkeyBatch(2);
  batch.set(0, mr.start, 8, mr.lkey);
  batch.set(1, mr.start, 4, mr.lkey);
  batch.acquire(2, 0);
  return { device, mr, batch };
}

test('matches the schema, which describes every property', () => {
  expect(check(JSON.parse(JSON.stringify(full().device.resources())))).toEqual([]);
  expect(check(JSON.parse(JSON.stringify(open().resources())))).toEqual([]);
});

test('the schema rejects each kind of invalid document', () => {
  const good = JSON.parse(JSON.stringify(full().device.resources()));
  const changes: ((json: any) => void)[] = [
    (json) => (json.version = 2),
    (json) => delete json.regions,
    (json) => (json.regions[0].lkey = 256),
    (json) => (json.regions[0].lkey = '0x0100'),
    (json) => (json.regions[0].access = ['Write']),
    (json) => (json.regions[0].region = {}),
    (json) => delete json.regions[0].memory.offset,
    (json) => (json.mappings[0].address = '1'),
    (json) => (json.elements[0].count = 0),
    (json) => (json.queuePairs[1].state = 'rts'),
    (json) => (json.queuePairs[1].type = 'CHECK'),
    (json) => (json.queuePairs[1].pqn = 1),
    (json) => (json.completionQueues[0].broken = 0),
    (json) => delete json.sharedReceiveQueues[0].held,
    (json) => (json.addressHandles[0].dlid = '0x1'),
  ];
  for (const change of changes) {
    const wrong = structuredClone(good);
    change(wrong);
    expect([String(change), validate(wrong)]).toEqual([String(change), false]);
  }
});

test('has addresses and keys as hex strings, rights by name, and no class instances', () => {
  const { device, mr } = full();
  const json = device.resources().toJSON();
  expect(json).toMatchObject({ format: 'rdmavt-resources', version: 1 });
  expect(json.regions[0]).toMatchObject({
    id: mr.id,
    lkey: `0x${mr.lkey.toString(16)}`,
    rkey: `0x${mr.rkey.toString(16)}`,
    iova: '0xffffffffffffffd8',
    access: ['LocalWrite', 'RemoteRead'],
    memory: { kind: 'SharedArrayBuffer', offset: 8, length: 40, detached: false },
  });
  expect(json.regions.map(({ memory }) => memory?.kind)).toEqual([
    'SharedArrayBuffer',
    undefined,
    undefined,
    undefined,
    'DeviceMemory',
  ]);
  expect('region' in json.regions[0]!).toBe(false);
  // The result contains nothing that structured clone rejects.
  expect(structuredClone(json)).toEqual(json);
});

test('leaves the returned object unchanged: its rows keep bigints and objects, and toJSON is not enumerable', () => {
  const { device, mr } = full();
  const resources = device.resources();
  JSON.stringify(resources);
  expect(resources.regions[0]).toMatchObject({ iova: mr.iova, region: mr, access: 5 });
  expect(Object.keys(resources)).not.toContain('toJSON');
  mr.dereg({ force: true });
  expect(resources.toJSON().regions).toHaveLength(5);
});
