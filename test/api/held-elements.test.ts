// Held elements that are not put yet: `device.resources().elements`.
import { SgeState } from '../../lib';
import { accepted } from '../support/answers';
import { testWithCollector } from '../support/conditions';
import { collect } from '../support/garbage';
import { scene } from '../support/scene';
import { Peer } from '../support/workers';

function held(options: object = {}) {
  const { device, pd, qp } = scene(options);
  const mr = pd.regUserMr(new Uint8Array(new SharedArrayBuffer(64)), { access: 31 });
  const other = pd.regUserMr(Buffer.alloc(64));
  const acquire = (length = 8) => accepted(pd.acquire({ addr: mr.start, length, lkey: mr.lkey }, 1));
  return { device, pd, qp, mr, other, acquire };
}

test('each element is listed with its region, length and rights until it is put', () => {
  const { device, qp, mr, acquire } = held();
  const one = acquire();
  const two = accepted(qp.acquire({ vaddr: mr.iova + 8n, length: 16, rkey: mr.rkey }, 4));
  const first = { region: mr.id, count: 1, length: 8, remote: false, address: mr.start, access: 1 };
  const second = { region: mr.id, count: 1, length: 16, remote: true, address: mr.iova + 8n, access: 4 };
  expect(device.resources().elements).toEqual([first, second]);
  one.put();
  expect(device.resources().elements).toEqual([second]);
  expect(device.resources().toJSON().elements).toEqual([
    { ...second, address: `0x${(mr.iova + 8n).toString(16)}`, access: ['RemoteRead'] },
  ]);
  two.put();
  expect(device.resources().elements).toEqual([]);
});

test('elements of a region deregistered by force are listed, and a walk over them does not list them twice', () => {
  const { device, mr, acquire } = held();
  const sge = acquire();
  const state = new SgeState([sge]);
  mr.dereg({ force: true });
  expect(device.resources().elements).toMatchObject([{ region: mr.id, count: 1 }]);
  state.put();
  expect(device.resources().elements).toEqual([]);
  sge.put();
});

test('a batch reports how many elements it holds of each region', () => {
  const { device, pd, mr, other } = held();
  const batch = pd.lkeyBatch(8);
  for (let i = 0; i < 5; i++) batch.set(i, mr.start, 8, mr.lkey);
  batch.set(5, other.start, 3, other.lkey);
  expect(batch.acquire(6, 0)).toBe(6);
  const number = batch.toJSON().id;
  const sorted = () => device.resources().elements.sort((a, b) => a.region - b.region);
  expect(sorted()).toEqual([
    { region: mr.id, count: 5, length: 40, remote: false, batch: number },
    { region: other.id, count: 1, length: 3, remote: false, batch: number },
  ]);
  const taken = batch.take(0)!;
  expect(sorted()).toMatchObject([{ address: mr.start, count: 1 }, { count: 4 }, { count: 1 }]);
  batch.put();
  expect(sorted()).toMatchObject([{ address: mr.start }]);
  taken.put();
  expect(sorted()).toEqual([]);
});

test('only elements of this thread and this device are listed', async () => {
  const { device, pd, mr, acquire } = held();
  const strange = held();
  const [mine, theirs] = [acquire(), strange.acquire()];
  const peer = new Peer({ token: device.share() });
  const told = await peer.run(
    (w, number, addr, lkey) => {
      w.sge = w.accepted(w.device.importPd(number).acquire({ addr, length: 24, lkey }, 0));
      return w.device.resources().elements;
    },
    pd.id,
    mr.start,
    mr.lkey,
  );
  expect(told).toMatchObject([{ length: 24, count: 1 }]);
  expect(device.resources().elements).toMatchObject([{ length: 8 }]);
  expect(strange.device.resources().elements).toHaveLength(1);
  mine.put();
  theirs.put();
});

describe('with captureStacks', () => {
  test('each element and each batch reports where it was acquired', () => {
    const { device, pd, mr, acquire } = held({ captureStacks: true });
    function holder(): void {
      acquire();
    }
    function batchHolder(): void {
      const batch = pd.lkeyBatch(1);
      batch.set(0, mr.start, 8, mr.lkey);
      batch.acquire(1, 0);
    }
    holder();
    batchHolder();
    const [single, several] = device.resources().elements;
    expect(single!.stack).toContain('at holder (');
    expect(single!.stack!.split('\n')[0]).toContain(__filename);
    expect(several!.stack!.split('\n')[0]).toContain('at batchHolder (');
  });

  test('the stack is that of the element now in the cell', () => {
    const { device, acquire } = held({ captureStacks: true });
    for (const name of ['first', 'second']) {
      const named = { [name]: () => acquire() }[name]!;
      const sge = named();
      expect(device.resources().elements).toHaveLength(1);
      expect(device.resources().elements[0]!.stack).toContain(name);
      sge.put();
    }
  });

  test('an element of a device without captureStacks has no stack', () => {
    held({ captureStacks: true });
    const { device, acquire } = held();
    const sge = acquire();
    expect('stack' in device.resources().elements[0]!).toBe(false);
    sge.put();
  });

  test('a program whose Error.prepareStackTrace throws does not disturb the check', () => {
    const before = Error.prepareStackTrace;
    const { device, acquire } = held({ captureStacks: true });
    try {
      Error.prepareStackTrace = () => {
        throw new Error('no');
      };
      const sge = acquire();
      expect(device.resources().elements).toMatchObject([{ count: 1 }]);
      sge.put();
    } finally {
      Error.prepareStackTrace = before;
    }
    expect(device.resources().elements).toEqual([]);
  });

  testWithCollector('does not keep unreachable elements alive', async () => {
    const { device, acquire } = held({ captureStacks: true });
    (() => void acquire())();
    await collect(() => device.resources().elements.length === 0);
    expect(device.resources().elements).toEqual([]);
  });
});
