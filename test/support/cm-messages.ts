// Messages of the connection manager as a stranger writes them, byte by byte, and what an endpoint answers.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { addressBytes, icrcOf, ipPacket } from '../rxe/packets';

const HEADERS = 20;
const MAD = 256;
const BODY = HEADERS + 24;
const ICRC = 4;

/** Attribute ids. */
export const Cm = { Req: 0x10, Mra: 0x11, Rej: 0x12, Rep: 0x13, Rtu: 0x14, Dreq: 0x15, Drep: 0x16 } as const;

export interface CmMessage {
  readonly attribute: number;
  readonly local?: number;
  readonly remote?: number;
  /** REQ: the sender's queue pair; DREQ: the receiver's. */
  readonly qpn?: number;
  /** REQ: a port of RDMA_PS_TCP. */
  readonly port?: number;
}

/** From where to where a message goes. */
export interface CmPath {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

const mapped = (address: string): Buffer =>
  Buffer.concat([Buffer.alloc(10), Buffer.of(255, 255), addressBytes(address)]);

function writeReq(b: Buffer, { qpn = 0, port = 0 }: CmMessage, { source, destination }: CmPath): void {
  b.writeBigUInt64BE(0x0106_0000n + BigInt(port), BODY + 8);
  b.writeUInt32BE(((qpn << 8) | 4) >>> 0, BODY + 32); // responder resources
  b.writeUInt32BE(4, BODY + 36); // initiator depth
  b.writeUInt32BE(20 << 3, BODY + 40); // response timeout, RC
  b.writeUInt32BE((0x123456 << 8) | (20 << 3) | 7, BODY + 44); // PSN, response timeout, retries
  b.writeUInt16BE(0xffff, BODY + 48);
  b.writeUInt16BE((0x37 << 8) | 0xf0, BODY + 50); // path MTU 1024, RNR retries, CM retries
  mapped(source).copy(b, BODY + 56);
  mapped(destination).copy(b, BODY + 72);
  b.writeUInt8(14 << 3, BODY + 95);
  b.writeUInt16BE(0x0040, BODY + 140); // the header of RDMA-CM: version 0, IPv4
}

/** Returns the payload of a UDP datagram with the message, with its ICRC. */
export function cmPacket(message: CmMessage, path: CmPath): Buffer {
  const { attribute, local = 0, remote = 0, qpn = 0 } = message;
  const b = Buffer.alloc(HEADERS + MAD + ICRC);
  b.set([0x64, 0x40, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0x80, 0x01, 0, 0, 0, 0, 0, 1]);
  b.set([1, 7, 2, 3], HEADERS);
  b.writeUInt32BE(local >>> 0, HEADERS + 12); // the transaction
  b.writeUInt16BE(attribute, HEADERS + 16);
  b.writeUInt32BE(local >>> 0, BODY);
  if (attribute === Cm.Req) writeReq(b, message, path);
  else b.writeUInt32BE(remote >>> 0, BODY + 4);
  if (attribute === Cm.Dreq) b.writeUInt32BE((qpn << 8) >>> 0, BODY + 8);
  return sealed(b, path);
}

/** Puts the ICRC for this path into a packet. */
export function sealed(packet: Buffer, path: CmPath): Buffer {
  packet.writeUInt32LE(icrcOf(ipPacket({ ...path, payload: packet })), packet.length - ICRC);
  return packet;
}

/** The fields of a message that tests look at. */
export function cmFields(bytes: Uint8Array) {
  const b = Buffer.from(bytes);
  return {
    destQp: b.readUIntBE(5, 3),
    attribute: b.readUInt16BE(HEADERS + 16),
    local: b.readUInt32BE(BODY),
    remote: b.readUInt32BE(BODY + 4),
    /** REP: the sender's queue pair. */
    qpn: b.readUIntBE(BODY + 12, 3),
    reason: b.readUInt16BE(BODY + 10),
  };
}

/** A UDP socket that sends such messages to an endpoint at a port of its own, which answers to it. */
export class CmStranger {
  readonly answers: ReturnType<typeof cmFields>[] = [];
  readonly #socket: Socket;
  readonly #to: { address: string; port: number };

  private constructor(socket: Socket, to: { address: string; port: number }) {
    this.#socket = socket;
    this.#to = to;
    socket.on('message', (bytes) => this.answers.push(cmFields(bytes)));
  }

  static async open(to: { address: string; port: number }): Promise<CmStranger> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new CmStranger(socket, to);
  }

  send(message: CmMessage): void {
    const { address, port } = this.#to;
    const path = {
      source: '127.0.0.1',
      sourcePort: this.#socket.address().port,
      destination: address,
      destinationPort: port,
    };
    this.#socket.send(cmPacket(message, path), port, address);
  }

  close(): void {
    this.#socket.close();
  }
}
