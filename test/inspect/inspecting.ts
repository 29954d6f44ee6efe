// Inspectors that are closed after each test, and clients that say exactly what a test wants.
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { type Device } from '../../lib';
import { inspect, type InspectOptions, type Inspector } from '../../lib/inspect/inspect';
import { type InspectEnd, type InspectState, type InspectTick } from '../../lib/inspect/protocol';
import { EventReader } from '../../lib/inspect/terminal';

const inspectors: Inspector[] = [];
const viewers: Viewer[] = [];

afterEach(async () => {
  for (const viewer of viewers.splice(0)) viewer.leave();
  await Promise.all(inspectors.splice(0).map((inspector) => inspector.close()));
});

export async function inspected(device: Device, options: InspectOptions = {}): Promise<Inspector> {
  const inspector = await inspect(device, options);
  inspectors.push(inspector);
  return inspector;
}

/** Waits until something is true. */
export async function until(isTrue: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !isTrue();) {
    if (Date.now() > end) throw new Error(`never true: ${String(isTrue)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  body: string;
}

/** Sends a request, and returns the whole answer. */
export function ask(
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const { body, ...rest } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { agent: false, ...rest }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
      response.on('error', reject);
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** Sends bytes as they are, and returns everything that comes back until the server closes, or until `timeout` ms. */
export function raw(port: number, text: string, timeout = 15_000): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(port, '127.0.0.1', () => void socket.write(text));
    const end = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(end, timeout);
    socket.setEncoding('latin1').on('data', (part) => (answer += String(part)));
    socket.on('end', end).on('error', end).on('close', end);
  });
}

/** One who looks. */
export interface Viewer {
  states: InspectState[];
  ticks: InspectTick[];
  ended: InspectEnd | undefined;
  isClosed: boolean;
  /** Stops or goes on to read. */
  response: IncomingMessage;
  leave: () => void;
}

export function view(inspector: Inspector): Promise<Viewer> {
  return new Promise((resolve, reject) => {
    const outgoing: ClientRequest = request(`${inspector.url}events`, { agent: false }, (response) => {
      if (response.statusCode !== 200) {
        response.destroy();
        reject(new Error(`status ${String(response.statusCode)}`));
        return;
      }
      const viewer: Viewer = {
        states: [],
        ticks: [],
        ended: undefined,
        isClosed: false,
        response,
        leave: () => {
          outgoing.destroy();
        },
      };
      viewers.push(viewer);
      const reader = new EventReader((name, data) => {
        const value = JSON.parse(data);
        if (name === 'state') viewer.states.push(value);
        else if (name === 'tick') viewer.ticks.push(value);
        else viewer.ended = value;
        resolve(viewer);
      });
      response.setEncoding('utf8').on('data', (part: string) => reader.add(part));
      response.on('error', () => undefined).on('close', () => (viewer.isClosed = true));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}
