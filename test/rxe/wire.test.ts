// The wire, without a machine: its rules, its record, and the packets that a neighbour makes and reads.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { BthOpcode } from '../../lib/internal/layout';
import { decodeCapture, decodePacket } from './decoded';
import { FrameLink } from './frame-link';
import type { Datagram } from './link';
import { framesPlace } from './network';
import {
  acknowledgement,
  addressBytes,
  addressText,
  arpAnswer,
  ethernetFrame,
  ETHERNET_BYTES,
  icrcOf,
  ipPacket,
  neighbourAnswer,
  ROCE_PORT,
  roceOf,
  udpOf,
} from './packets';
import { readRecords, writeRecord } from './record-stream';
import { joinWires, Wire } from './wire';

const { guest, host } = framesPlace;
const captures = join(__dirname, '..', 'wire', 'captures');
const WAY = { source: guest.ipv4, destination: host.ipv4, sourcePort: 50_000 };

/** The guest's end of a wire. */
class Guest extends Duplex {
  readonly received: Buffer[] = [];

  constructor() {
    super();
    let pieces = Buffer.alloc(0);
    this._write = (piece: Buffer, _encoding, done) => {
      pieces = Buffer.concat([pieces, piece]);
      while (pieces.length >= 4) {
        const end = 4 + pieces.readUInt32BE();
        this.received.push(pieces.subarray(4, end));
        pieces = pieces.subarray(end);
      }
      done();
    };
  }

  override _read(): void {}

  /** Sends frames, in pieces of `size` bytes. */
  async sends(frames: readonly Buffer[], size = 1 << 16): Promise<void> {
    const bytes = Buffer.concat(
      frames.map((frame) => {
        const header = Buffer.alloc(4);
        header.writeUInt32BE(frame.length);
        return Buffer.concat([header, frame]);
      }),
    );
    for (let at = 0; at < bytes.length; at += size) this.push(bytes.subarray(at, at + size));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** An acknowledge packet from the guest. */
function acknowledge(psn: number): Buffer {
  const payload = acknowledgement(WAY, { destQp: 0x11, psn, syndrome: 0x1f, msn: psn });
  return ethernetFrame(guest, host, ipPacket({ ...WAY, destinationPort: ROCE_PORT, payload }));
}

const psnsOf = (frames: readonly Buffer[]) => frames.map((frame) => roceOf(frame)?.psn);

function open() {
  const end = new Guest();
  const wire = new Wire(end);
  const passed: Buffer[] = [];
  wire.onFrame = (frame) => {
    passed.push(frame);
  };
  return { end, wire, passed };
}

describe('a wire', () => {
  test.each([1, 3, 100, 1 << 16])('carries frames that arrive in pieces of %d bytes', async (size) => {
    const { end, wire, passed } = open();
    await end.sends([1, 2, 3].map(acknowledge), size);
    expect(psnsOf(passed)).toEqual([1, 2, 3]);
    wire.send(acknowledge(4));
    expect(psnsOf(end.received)).toEqual([4]);
    expect(wire.passed).toEqual({ host: 3, guest: 1 });
    expect(wire.packets).toEqual({ host: 3, guest: 1 });
  });

  test('loses packets that a rule picks, and only so many', async () => {
    const { end, wire, passed } = open();
    const rule = wire.apply({
      towards: 'host',
      does: 'lose',
      picks: ({ psn }) => psn % 2 === 0,
      after: 1,
      times: 2,
    });
    await end.sends([1, 2, 3, 4, 5, 6, 7, 8].map(acknowledge));
    expect(psnsOf(passed)).toEqual([1, 2, 3, 5, 7, 8]);
    expect(rule.treated).toBe(2);
    expect(wire.packets.host).toBe(8);
    expect(wire.passed.host).toBe(6);
  });

  test('does not apply a rule to the other direction, nor after it was cleared', async () => {
    const { end, wire, passed } = open();
    wire.apply({ towards: 'guest', does: 'lose', picks: () => true, times: Infinity });
    await end.sends([acknowledge(1)]);
    wire.send(acknowledge(2));
    wire.clear();
    wire.send(acknowledge(3));
    expect(psnsOf(passed)).toEqual([1]);
    expect(psnsOf(end.received)).toEqual([3]);
  });

  test('damages a packet, so that its ICRC is wrong', async () => {
    const { end, wire, passed } = open();
    wire.apply({ towards: 'host', does: 'damage', picks: () => true });
    await end.sends([acknowledge(1), acknowledge(2)]);
    const icrcs = passed.map((frame) => decodePacket(frame.subarray(ETHERNET_BYTES))?.icrc);
    expect(icrcs[0]).not.toBe('Good');
    expect(icrcs[1]).toBe('Good');
  });

  test('repeats a packet, and holds one until it is released', async () => {
    const { end, wire, passed } = open();
    wire.apply({ towards: 'host', does: 'repeat', picks: ({ psn }) => psn === 1 });
    const hold = wire.apply({ towards: 'host', does: 'hold', picks: ({ psn }) => psn === 2 });
    await end.sends([1, 2, 3].map(acknowledge));
    await hold.next();
    expect(psnsOf(passed)).toEqual([1, 1, 3]);
    hold.release();
    hold.release();
    expect(psnsOf(passed)).toEqual([1, 1, 3, 2]);
  });

  test('records what the guest sends, also if it is lost, and what reaches it', async () => {
    const { end, wire } = open();
    wire.apply({ towards: 'host', does: 'lose', picks: () => true });
    wire.apply({ towards: 'guest', does: 'lose', picks: ({ psn }) => psn === 2 });
    await end.sends([acknowledge(9)]); // not recorded yet
    wire.record();
    await end.sends([acknowledge(1)]);
    wire.send(acknowledge(2));
    wire.send(acknowledge(3));
    expect(decodeCapture(wire.recorded()).map(({ psn }) => psn)).toEqual([1, 3]);
  });

  test('joins with another', async () => {
    const [a, b] = [open(), open()];
    joinWires(a.wire, b.wire);
    await a.end.sends([acknowledge(1)]);
    await b.end.sends([acknowledge(2)]);
    expect(psnsOf(b.end.received)).toEqual([1]);
    expect(psnsOf(a.end.received)).toEqual([2]);
  });
});

describe('packets', () => {
  const files = readdirSync(captures, { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.pcap') && !name.startsWith('udp-socket'),
  );

  test.each(files)('the ICRC is that of the codec, and addresses are read and written: %s', (name) => {
    const file = readFileSync(join(captures, name));
    const packets = decodeCapture(file).values();
    for (let at = 24; at < file.length;) {
      const end = at + 16 + file.readUInt32LE(at + 8);
      const frame = file.subarray(at + 16, end);
      at = end;
      const roce = roceOf(frame);
      if (!roce) continue;
      const packet = packets.next().value;
      expect([roce.opcode, roce.psn, roce.destQp]).toEqual([packet?.opcode, packet?.psn, packet?.destQp]);
      const ip = frame.subarray(ETHERNET_BYTES);
      const length = ip[0]! >> 4 === 6 ? 40 + ip.readUInt16BE(4) : ip.readUInt16BE(2);
      const isRight = icrcOf(ip.subarray(0, length)) === ip.readUInt32LE(length - 4);
      expect(isRight).toBe(packet?.icrc === 'Good');
      expect(addressText(addressBytes(roce.source))).toBe(roce.source);
    }
    expect(packets.next().done).toBe(true);
  });

  test.each([
    ['ipv4', guest.ipv4, host.ipv4],
    ['ipv6', guest.ipv6, host.ipv6],
  ])('an acknowledgement that is made by hand is one for the codec: %s', (_family, source, destination) => {
    const way = { source, destination, sourcePort: ROCE_PORT };
    const payload = acknowledgement(way, { destQp: 0x123456, psn: 0xabcdef, syndrome: 0x62, msn: 7 });
    const ip = ipPacket({ ...way, destinationPort: ROCE_PORT, payload });
    expect(decodePacket(ip)).toMatchObject({
      ...{ fault: 'None', icrc: 'Good', opcode: BthOpcode.RcAcknowledge },
      ...{ destQp: 0x123456, psn: 0xabcdef, syndrome: 0x62 },
    });
    expect(udpOf(ip)).toEqual({ ...way, destinationPort: ROCE_PORT, payload });
  });

  test.each([
    [guest.ipv4, host.ipv4],
    [guest.ipv6, host.ipv6],
  ])('an IP packet from %s that is cut off anywhere holds no datagram', (source, destination) => {
    const ip = ipPacket({
      ...{ source, destination, sourcePort: 1, destinationPort: ROCE_PORT },
      payload: Buffer.alloc(20),
    });
    expect(udpOf(ip)?.payload).toHaveLength(20);
    for (let length = 0; length < ip.length; length++) {
      const cut = ip.subarray(0, length);
      expect(udpOf(cut)).toBeUndefined();
      if (length > 0) expect(roceOf(ethernetFrame(guest, host, cut))).toBeUndefined();
    }
  });

  test('only requests for the address of the station are answered', () => {
    const ask = (address: string) =>
      Buffer.concat([
        Buffer.from('ffffffffffff52540a00020f08060001080006040001', 'hex'),
        ...[Buffer.from('52540a00020f', 'hex'), addressBytes(guest.ipv4)],
        ...[Buffer.alloc(6), addressBytes(address)],
      ]);
    const answer = arpAnswer(ask(host.ipv4), host);
    expect(answer?.toString('hex')).toBe(
      '52540a00020f52540a00020208060001080006040002' + '52540a0002020a000202' + '52540a00020f0a00020f',
    );
    expect(arpAnswer(ask('10.0.2.3'), host)).toBeUndefined();
    expect(neighbourAnswer(ask(host.ipv4), host)).toBeUndefined();
  });

  test('a link by frames takes datagrams to its station only, and sends with the addresses of its station', async () => {
    const { end, wire } = open();
    const link = new FrameLink(wire, framesPlace);
    const seen: Datagram[] = [];
    const packets: Buffer[] = [];
    link.onDatagram = (datagram) => {
      seen.push(datagram);
    };
    link.onPacket = (ip) => {
      packets.push(ip);
    };
    const to = (destination: string, destinationPort: number) => {
      const payload = Buffer.from(`${destination} ${destinationPort}`.padEnd(32));
      const way = { source: guest.ipv4, destination, sourcePort: 7 };
      return ethernetFrame(guest, host, ipPacket({ ...way, destinationPort, payload }));
    };
    await end.sends([
      to('10.0.2.3', ROCE_PORT),
      to(host.ipv4, 53),
      to(host.ipv4, ROCE_PORT),
      Buffer.alloc(5),
    ]);
    expect(seen.map(({ payload }) => payload.toString().trim())).toEqual([`${host.ipv4} ${ROCE_PORT}`]);
    expect(packets).toHaveLength(2);
    link.send({ address: guest.ipv6, port: ROCE_PORT, payload: Buffer.from('abcd') });
    const [frame = Buffer.alloc(0)] = end.received;
    expect(frame.subarray(0, ETHERNET_BYTES).toString('hex')).toBe('52540a00020f52540a00020286dd');
    expect(udpOf(frame.subarray(ETHERNET_BYTES))).toMatchObject({
      ...{ source: host.ipv6, destination: guest.ipv6 },
      ...{ sourcePort: ROCE_PORT, destinationPort: ROCE_PORT, payload: Buffer.from('abcd') },
    });
    await link.close();
  });

  test('records are framed by their length', async () => {
    const stream = new Guest();
    const records: string[] = [];
    readRecords(stream, (record) => records.push(record.toString()));
    await stream.sends([Buffer.from('one'), Buffer.alloc(0), Buffer.from('three')], 2);
    expect(records).toEqual(['one', '', 'three']);
    writeRecord(stream, Buffer.from('fo'), Buffer.from('ur'));
    expect(stream.received.map(String)).toEqual(['four']);
  });
});
