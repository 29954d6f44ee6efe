/// <reference lib="esnext.disposable" preserve="true" />
import { type Device } from '../index';
import { startInspector } from './inspector';

/** Options of {@link inspect}. */
export interface InspectOptions {
  /** TCP port of 127.0.0.1. Default 0: a free one. */
  port?: number;
  /**
   * Time between two updates of a page, in milliseconds, 20 to 60,000. Default 100. Updates become rarer if they would take more
   * than about 5 % of the thread.
   */
  intervalMs?: number;
  /** Whether the inspector keeps the process alive until it is closed. Default false. */
  ref?: boolean;
}

/** Returned by {@link inspect}. */
export interface Inspector extends AsyncDisposable {
  /**
   * Address of the page. It contains a token that cannot be guessed: whoever knows the address can see the device, so do not log it
   * where others can read it.
   */
  readonly url: string;
  /** TCP port of the page. */
  readonly port: number;
  /** How many look at present: pages, and `rdmavt inspect`. */
  readonly viewers: number;
  /** Resolves when the inspector has ended, because it or its device was closed. */
  readonly closed: Promise<void>;
  /** Ends the server and its connections. A second call waits for the same end. Never rejects. */
  close(): Promise<void>;
}

/**
 * Serves a page that shows a device while it works: regions in their address spaces, the key table, queue pairs and queues,
 * completions, refusals with their explanations, and rates.
 *
 * The server listens on 127.0.0.1 only, answers only requests for its own address with the token, and changes nothing. While nobody
 * looks, it costs nothing: there is no timer, and nothing is counted for it. It sees what `device` sees
 * ({@link Device.resources}), and the refusals of the thread that calls it. It ends when the device is closed, or the thread.
 *
 * @example
 * ```ts
 * import { Device } from 'rdmavt';
 * import { inspect } from 'rdmavt/inspect';
 *
 * const device = new Device();
 * const inspector = await inspect(device);
 * console.log(inspector.url.startsWith('http://127.0.0.1:')); // true
 * await inspector.close();
 * device.close();
 * ```
 *
 * @param device - the device to show
 * @returns the running inspector
 * @throws (rejects) RdmaError `EBADF`: the device is closed; Error of Node (`EADDRINUSE`, `EACCES`): the port cannot be used
 * @throws (rejects) TypeError (`ERR_INVALID_ARG_TYPE`, `ERR_INVALID_ARG_VALUE`), RangeError (`ERR_OUT_OF_RANGE`)
 */
export function inspect(device: Device, options: InspectOptions = {}): Promise<Inspector> {
  return startInspector(device, options);
}
