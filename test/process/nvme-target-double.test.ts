// examples/nvme-target-double: the double gives exactly the answers of the table, and a wrong double is found out.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(__dirname, '..', '..');
const folder = join(root, 'examples', 'nvme-target-double');

function runNode(args: string[]) {
  const options = { cwd: root, encoding: 'utf8', timeout: 100_000, killSignal: 'SIGKILL' } as const;
  return spawnSync(process.execPath, args, options);
}

const run = (args: string[], from = folder) => runNode([join(from, 'main.mjs'), ...args]);

/** Runs the body of a program with a device, a target and a host that is not connected yet, and returns what it prints. */
function withTarget(body: string): string[] {
  const url = (name: string) => JSON.stringify(pathToFileURL(join(folder, name)).href);
  const program = `
    import { Access, Device } from 'rdmavt';
    import { Host } from ${url('host.mjs')};
    import { TargetDouble } from ${url('target.mjs')};
    const device = new Device();
    const target = new TargetDouble(device, { subsystem: 'nqn.test', blocks: 16 });
    const host = new Host(device);
    target.accept(host.qp);
    const hex = ({ status }) => console.log(status.toString(16));
    ${body}
    target.close();
    device.close({ cascade: true });`;
  const { status, stdout, stderr } = runNode(['--input-type=module', '--eval', program]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout.trimEnd().split('\n');
}

describe('examples/nvme-target-double', () => {
  it.each([1, 2, 3])('answers 1,000 random capsules as the table says, with the seed %i', (seed) => {
    const { status, stdout, stderr } = run(['--seed', String(seed)]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const counts = [...stdout.matchAll(/^ +(\d+) {2}0x([0-9a-f]{3}) [A-Z_]+$/gm)];
    expect(counts.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(1000);
    expect(counts.map(([, , code]) => code).join()).toBe('000,001,002,004,00b,00d,00e,00f,011,016,080');
    expect(stdout).toMatch(
      /^(\d+) of the table's \1 rows were used\. All answers and all bytes were right\.$/m,
    );
    expect(stdout).toMatch(/^The last DATA_TRANSFER_ERROR: .* was refused\. /m);
  });

  it('gives the same run for the same seed, and another one for another', () => {
    const counts = (seed: string) => run(['--seed', seed, '--capsules', '200']).stdout.split('\nThe last')[0];
    expect(counts('5')).toBe(counts('5'));
    expect(counts('5')).not.toBe(counts('6'));
  });

  it('connects its queues in order', () => {
    const lines = withTarget(`
      const io = new Host(device);
      target.accept(io.qp);
      hex(await host.send({ opcode: 6, fields: [[40, 1, 1]] })); // not connected
      hex(await host.connect('nqn.other', 0)); // another subsystem
      hex(await host.connect('nqn.test', 0, 1)); // the controller must be any
      hex(await host.send({ opcode: 0x7f, fields: [[4, 1, 4]] })); // Property Get
      hex(await host.send({ opcode: 0x7f, fields: [[4, 1, 1], [40, 2, 1]] })); // another format of the record
      const connected = await host.connect('nqn.test', 0);
      console.log(connected.status, connected.result);
      hex(await host.connect('nqn.test', 0)); // again
      hex(await io.connect('nqn.test', 3)); // the controller must be that of the admin queue
      hex(await io.connect('nqn.test', 3, connected.result));
      const { status, queue } = await io.send({ opcode: 0, nsid: 1 });
      console.log(status, queue);
      hex(await io.send({ opcode: 6, fields: [[40, 1, 1]] })); // an admin command`);
    expect(lines).toEqual(['c', '182', '182', '2', '180', '0 1', 'c', '182', '0', '0 3', '1']);
  });

  it('identifies itself', () => {
    const lines = withTarget(`
      await host.connect('nqn.test', 0);
      const data = Buffer.alloc(4096);
      const mr = host.pd.regUserMr(data, { access: Access.LocalWrite | Access.RemoteWrite });
      const pointer = { address: mr.iova, length: 4096, key: mr.rkey, id: 0x40 };
      const identify = async (cns, nsid) => hex(await host.send({ opcode: 6, nsid, pointer, fields: [[40, 1, cns]] }));
      await identify(1, 0);
      console.log(data.toString('latin1', 24, 30), data[77], data[512], data[513], data.readUInt32LE(516));
      console.log(data.readUInt32LE(536).toString(16), data.toString('latin1', 768, 776), data.readUInt32LE(1792), data[1803]);
      await identify(0, 1);
      console.log(data.readBigUInt64LE(0), data[130]);
      await identify(0, 2);
      await identify(2, 0);
      console.log(data.readUInt32LE(0), data.readUInt32LE(4));
      await identify(2, 1);
      console.log(data.readUInt32LE(0));
      await identify(3, 0);`);
    expect(lines).toEqual([
      ...['0', 'rdmavt 2 102 68 1', '100005 nqn.test 260 16'],
      ...['0', '16n 9', 'b', '0', '1 0', '0', '0', '2'],
    ]);
  });

  it('ends the connection after a capsule without a whole command', () => {
    const lines = withTarget(`
      const error = await host.send(Buffer.alloc(63)).catch((refusal) => refusal);
      console.log(error.name, error.status, host.qp.state);`);
    expect(lines).toEqual(['CompletionError WR_FLUSH_ERR ERR']);
  });

  it('invalidates a key once, and the host cannot use it again', () => {
    const lines = withTarget(`
      await host.connect('nqn.test', 1, 1);
      const { mr } = host.fastRegister(Buffer.alloc(512, 'x'));
      const pointer = { address: mr.iova, length: 512, key: mr.rkey, id: 0x4f };
      const write = () => host.send({ opcode: 1, nsid: 1, pointer, fields: [[40, 8, 15n]] });
      const first = await write();
      console.log(first.status, first.invalidatedRkey === mr.rkey, target.blocks.toString('latin1', 7679, 7682));
      const second = await write();
      console.log(second.status, second.invalidatedRkey, /Invalidated: /.test(target.explanation));`);
    expect(lines).toEqual(['0 true \0xx', '4 undefined true']);
  });

  it('invalidates nothing if the host asks for a key that nobody has', () => {
    const lines = withTarget(`
      await host.connect('nqn.test', 1, 1);
      const mr = host.pd.regUserMr(Buffer.alloc(512), { access: Access.RemoteRead });
      const segment = [
        { address: mr.iova, length: 512, key: mr.rkey, id: 0x40 },
        { address: 0n, length: 0, key: 5, id: 0x4f }, // moves nothing, so that its key is not judged with the list
      ];
      const pointer = { address: 0n, length: 32, id: 0x31 };
      const { status, invalidatedRkey } = await host.send({ opcode: 1, nsid: 1, pointer, segment });
      console.log(status, invalidatedRkey, host.qp.state, mr.state);`);
    expect(lines).toEqual(['0 undefined RTS Valid']);
  });

  describe('with a double that does not do what it promises', () => {
    let copy: string;
    beforeEach(() => {
      mkdirSync(join(root, 'build'), { recursive: true });
      copy = mkdtempSync(join(root, 'build', 'nvme-target-double-'));
      cpSync(folder, copy, { recursive: true });
    });
    afterEach(() => {
      rmSync(copy, { recursive: true });
    });

    it.each([
      [
        'moves what it can before it refuses',
        'target.mjs',
        'if (elements.acquire(list.length, right) < list.length) {',
        'elements.put(); if (!isToController) elements.scatter(bytes, list.length, right); if (elements.acquire(list.length, right) < list.length) {',
        /bytes: [\w,]+ instead of/,
      ],
      [
        'checks no rights',
        'target.mjs',
        'return { status: Status.DATA_TRANSFER_ERROR };',
        'void 0;',
        /0x004/,
      ],
      ['lets lists be longer', 'target.mjs', 'length !== bytes.length', 'length < bytes.length', /too long/],
      ['never invalidates', 'target.mjs', 'plan.finish?.(), invalidate', 'plan.finish?.()', /key that was/],
      ['forgets DNR', 'target.mjs', '1 << 14', '0', /do not retry/],
      [
        'has one block more',
        'commands.mjs',
        'count > all - Number(first)',
        'count > all + 1 - Number(first)',
        /last/,
      ],
      ['takes other types', 'sgl.mjs', 'type !== Type.KEYED_DATA_BLOCK', 'false', /another type in the list/],
      [
        'looks behind the capsule',
        'sgl.mjs',
        'length > room - Number(address)',
        'false',
        /behind the capsule/,
      ],
      ['takes torn lists', 'sgl.mjs', 'length % DESCRIPTOR_BYTES !== 0', 'false', /half a descriptor/],
      ['takes 17 descriptors', 'sgl.mjs', 'count > MOST_DESCRIPTORS', 'count > 17', /./],
      ['takes PRPs', 'commands.mjs', 'flags >> 6 !== 1', 'false', /no list/],
    ])('ends with status 1 if it %s', (_, name, right, wrong, text) => {
      const file = join(copy, name);
      const source = readFileSync(file, 'utf8');
      expect(source).toContain(right);
      writeFileSync(
        file,
        source.replace(right, () => wrong),
      );
      const { status, stderr } = run([], copy);
      expect(stderr).toMatch(/^nvme-target-double: /);
      expect(stderr).toMatch(text);
      expect(status).toBe(1);
    });
  });

  it.each([
    [['--capsules', '0'], "--capsules must be a whole number of at least 1, not '0'"],
    [['--seed', 'x'], "--seed must be a whole number of at least 0, not 'x'"],
    [['--speed', '1'], "Unknown option '--speed'"],
  ])('ends with status 1 and one line for the arguments %j', (args, text) => {
    const { status, stdout, stderr } = run(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^nvme-target-double: .+\n$/);
    expect(stderr).toContain(text);
  });
});
