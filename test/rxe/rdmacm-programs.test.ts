// Programs of Debian that use librdmacm, as they are, against an endpoint of this package: rping and ucmatose, in both roles.
import {
  Access,
  type Connection,
  type Device,
  type Endpoint,
  type MemoryRegion,
  type ProtectionDomain,
  type QueuePair,
  type Rkey,
  rkey,
} from '../../lib';
import { describeIf } from '../support/conditions';
import { until } from '../support/wire-ends';
import { EndpointPeer } from './endpoint-peer';
import { framesPlace, type LinkPlace, socketPlace } from './network';
import type { Family } from './peer';
import { BOOT_LIMIT_MS, type LinkName, linkNames, Session, whyNot } from './session';

const families: readonly Family[] = ['ipv4', 'ipv6'];
const PROGRAM_MS = 40_000;
const RPING_PORT = 7174;
const UCMATOSE_PORT = 7471;
const because = whyNot('frames');

/** A queue pair with memory, and receives for its messages. */
class Talker {
  readonly qp: QueuePair<'RC'>;
  readonly bytes: Buffer;
  readonly region: MemoryRegion;
  readonly received: Promise<number>[] = [];
  readonly #slot: number;

  /** @param receives - how many messages to expect; each gets `slot` bytes, from the beginning of the memory on */
  constructor(device: Device, pd: ProtectionDomain, slot: number, receives: number) {
    this.#slot = slot;
    this.bytes = Buffer.alloc(4096);
    this.region = pd.regUserMr(this.bytes, {
      access: Access.LocalWrite | Access.RemoteRead | Access.RemoteWrite,
    });
    this.qp = pd.createQp({ type: 'RC', sendCq: device.createCq(128), maxSendWr: 64, maxRecvWr: 64 });
    this.qp.modify({ state: 'INIT', pkeyIndex: 0, port: 1, access: Access.RemoteRead | Access.RemoteWrite });
    for (let i = 0; i < receives; i++) this.expect(i);
  }

  /** Posts a receive into slot `index`. */
  expect(index = 0): void {
    const received = this.qp.recv(this.sge(index * this.#slot, this.#slot)).then((wc) => wc.byteLength);
    received.catch(() => {}); // one that is not taken is flushed at the end
    this.received.push(received);
  }

  sge(offset: number, length: number) {
    return { addr: this.region.start + BigInt(offset), length, lkey: this.region.lkey };
  }
}

/** What rping's messages say: where the other end may read or write. */
const RPING_INFO = 16;
const INFO_AT = 1024;
const DATA_AT = 2048;

/** One message of rping: the own place, or nothing. */
async function rpingSend(talker: Talker, length: number): Promise<void> {
  talker.bytes.writeBigUInt64BE(length ? talker.region.iova + BigInt(DATA_AT) : 0n, INFO_AT);
  talker.bytes.writeUInt32BE(talker.region.rkey, INFO_AT + 8);
  talker.bytes.writeUInt32BE(length, INFO_AT + 12);
  await talker.qp.send(talker.sge(INFO_AT, RPING_INFO));
}

/** The next message of rping: the place of the other end. */
async function rpingTake(talker: Talker): Promise<{ vaddr: bigint; rkey: Rkey; length: number }> {
  const length = await talker.received.shift();
  if (length !== RPING_INFO) throw new Error(`a message of ${length} bytes`);
  const place = {
    vaddr: talker.bytes.readBigUInt64BE(0),
    rkey: rkey(talker.bytes.readUInt32BE(8)),
    length: talker.bytes.readUInt32BE(12),
  };
  talker.expect();
  return place;
}

/** The server of rping: reads what the client has, and writes it back. */
async function serveRping(talker: Talker, rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const source = await rpingTake(talker);
    await talker.qp.read(talker.sge(DATA_AT, source.length), source);
    await rpingSend(talker, 0);
    const sink = await rpingTake(talker);
    await talker.qp.write(talker.sge(DATA_AT, sink.length), sink);
    await rpingSend(talker, 0);
  }
}

/** The client of rping: lets the server read a text, and write it to another place, where it must be equal. */
async function askRping(talker: Talker, rounds: number): Promise<void> {
  for (let i = 0; i < rounds; i++) {
    const text = `rdma-ping-${i}: of an endpoint\0`;
    talker.bytes.write(text, DATA_AT, 'latin1');
    await rpingSend(talker, 64);
    await rpingTake(talker);
    talker.bytes.fill(0, DATA_AT, DATA_AT + 64);
    await rpingSend(talker, 64);
    await rpingTake(talker);
    expect(talker.bytes.toString('latin1', DATA_AT, DATA_AT + text.length)).toBe(text);
  }
}

describeIf(because === undefined, because ?? '')('programs of librdmacm and an endpoint', () => {
  let session: Session | undefined; // not there if the guest does not boot
  beforeAll(async () => {
    session = await Session.open();
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await session?.close();
  });

  let nextProgram = 0;

  /** Starts a program in the guest. Returns a function that waits for its end, and returns its status and output. */
  async function run(...words: string[]): Promise<() => Promise<{ status: number; output: string }>> {
    const id = nextProgram++ % 64;
    const { shell } = session!.machine;
    await shell.command('start', { id, argv: words.join(',') });
    return async () => {
      const answer = await shell.command('end', { id, ms: PROGRAM_MS }, PROGRAM_MS);
      const [status = '', out = ''] = answer.map((word) => word.slice(word.indexOf('=') + 1));
      return { status: Number(status), output: Buffer.from(out, 'hex').toString('latin1') };
    };
  }

  describe.each(linkNames)('a link: %s', (name: LinkName) => {
    const place: LinkPlace = name === 'frames' ? framesPlace : socketPlace;
    const becauseLink = whyNot(name);
    describeIf(becauseLink === undefined, becauseLink ?? '')('with an endpoint', () => {
      let peer: EndpointPeer;
      let pd: ProtectionDomain;
      beforeAll(async () => {
        peer =
          name === 'frames'
            ? EndpointPeer.byFrames(session!.packetLink())
            : EndpointPeer.bySockets(await session!.openTap());
        pd = peer.device.allocPd();
      });
      afterAll(async () => {
        await peer.close();
      });

      describe.each(families)('%s', (family: Family) => {
        let endpoint: Endpoint;
        beforeAll(() => {
          endpoint = peer.endpoints[family];
        });
        const host = place.host[family];
        const guest = place.guest[family];
        const options = { access: Access.RemoteRead | Access.RemoteWrite };
        /** What a client is given: soft-RoCE has just begun to listen, or will soon. */
        async function connect(
          port: number,
          talker: () => Talker,
        ): Promise<{ talker: Talker; connection: Connection }> {
          for (let attempt = 0; ; attempt++) {
            const made = talker();
            try {
              const connection = await endpoint.connect(guest, port, { qp: made.qp, ...options });
              return { talker: made, connection };
            } catch (error) {
              made.qp.destroy();
              if (attempt === 40) throw error;
              await new Promise((resolve) => setTimeout(resolve, 250));
            }
          }
        }

        test('rping -c: ten rounds, validated by rping', async () => {
          const talker = new Talker(peer.device, pd, RPING_INFO, 1);
          const served = new Promise<Connection>((resolve, reject) => {
            const listener = endpoint.listen(RPING_PORT, (request) => {
              listener.close();
              request
                .accept({ qp: talker.qp, ...options })
                .then(async (connection) => {
                  await serveRping(talker, 10);
                  resolve(connection);
                })
                .catch(reject);
            });
          });
          const end = await run('rping', '-c', '-a', host, '-p', `${RPING_PORT}`, '-C', '10', '-v', '-V');
          const connection = await served;
          expect(await connection.closed).toBe('peer');
          const { status, output } = await end();
          expect(status).toBe(0);
          expect(output.match(/ping data: rdma-ping-\d/g)).toHaveLength(10);
        });

        test('rping -c, where nobody listens: rejected with reason 8', async () => {
          endpoint.listen(1, () => {}).close(); // the connection manager is there
          const { status, output } = await (await run('rping', '-c', '-a', host, '-p', '999', '-C', '1'))();
          expect(output).toContain('RDMA_CM_EVENT_REJECTED, error 8');
          expect(status).not.toBe(0);
        });

        test('rping -s: five rounds', async () => {
          const end = await run('rping', '-s', '-a', guest, '-p', `${RPING_PORT}`, '-C', '5', '-v', '-V');
          const { talker, connection } = await connect(
            RPING_PORT,
            () => new Talker(peer.device, pd, RPING_INFO, 1),
          );
          await askRping(talker, 5);
          await connection.disconnect();
          const { output } = await end();
          expect(output.match(/rdma-ping-\d: of an endpoint/g)).toHaveLength(5);
        });

        test('ucmatose as client: messages both ways, and the endpoint disconnects', async () => {
          const talker = new Talker(peer.device, pd, 100, 10);
          const served = new Promise<Connection>((resolve, reject) => {
            const listener = endpoint.listen(UCMATOSE_PORT, (request) => {
              listener.close();
              request.accept({ qp: talker.qp, ...options }).then(resolve, reject);
            });
          });
          const end = await run('ucmatose', '-s', host);
          const connection = await served;
          for (let i = 0; i < 10; i++) await talker.qp.send(talker.sge(DATA_AT, 100));
          expect(await Promise.all(talker.received)).toEqual(Array(10).fill(100));
          expect(await connection.disconnect()).toBe('program');
          const { status, output } = await end();
          expect(output).toContain('data transfers complete');
          expect([status, /return status (-?\d+)/.exec(output)?.[1]]).toEqual([0, '0']);
        });

        test('ucmatose as server: messages both ways, and it disconnects', async () => {
          const end = await run('ucmatose', '-b', guest);
          const { talker, connection } = await connect(
            UCMATOSE_PORT,
            () => new Talker(peer.device, pd, 100, 10),
          );
          expect(await Promise.all(talker.received)).toEqual(Array(10).fill(100));
          for (let i = 0; i < 10; i++) await talker.qp.send(talker.sge(DATA_AT, 100));
          expect(await connection.closed).toBe('peer');
          const { status, output } = await end();
          expect([status, /return status (-?\d+)/.exec(output)?.[1]]).toEqual([0, '0']);
        });

        test('no connection is left', async () => {
          await until(() => endpoint.counters().connections.open === 0);
          const { connections, malformed, wrongSource } = endpoint.counters();
          expect({ malformed, wrongSource, unknown: connections.malformed }).toEqual({
            malformed: 0,
            wrongSource: 0,
            unknown: 0,
          });
        });
      });
    });
  });
});
