/** An inspector: a device that is looked at, and the server that shows it. */
import { threadId } from 'node:worker_threads';
import { boolean, integer, invalidType } from '../internal/arguments';
import { asyncDispose } from '../internal/disposal';
import { throwOnError } from '../internal/errors';
import { optionsOf } from '../internal/options';
import { homeOfDevice } from '../verbs/device';
import { dropEntry, holdEntry } from '../verbs/event-dispatch';
import { type Entry } from '../verbs/verbs-registry';
import { type InspectOptions, type Inspector } from './inspect';
import { PageServer } from './page-server';
import { pageFile } from './page-file';
import { type InspectEnd } from './protocol';
import { deviceSource, type ReportSource } from './report';
import { Watcher } from './watcher';

const DEFAULT_INTERVAL_MS = 100;
const LEAST_INTERVAL_MS = 20;
const MOST_INTERVAL_MS = 60_000;
const MOST_PORT = 65_535;

export interface Settings {
  readonly port: number;
  readonly intervalMs: number;
  readonly ref: boolean;
}

/** Implements `inspect`, which documents it. */
export async function startInspector(device: unknown, given: unknown): Promise<Inspector> {
  const home = homeOfDevice(device);
  if (home === undefined) throw invalidType('device', 'an instance of Device', device);
  const settings = readOptions(given);
  throwOnError('Device.resources', home.native.live());
  return startServer(deviceSource(home.native, threadId), settings);
}

/** Reads the options of `inspect`. */
export function readOptions(given: unknown): Settings {
  const {
    port = 0,
    intervalMs = DEFAULT_INTERVAL_MS,
    ref = false,
  } = optionsOf<InspectOptions>(given, ['port', 'intervalMs', 'ref']);
  return {
    port: integer(port, 'options.port', 0, MOST_PORT),
    intervalMs: integer(intervalMs, 'options.intervalMs', LEAST_INTERVAL_MS, MOST_INTERVAL_MS),
    ref: boolean(ref, 'options.ref'),
  };
}

/** Starts the server for a source; tests have sources of their own. */
export async function startServer(source: ReportSource, settings: Settings): Promise<Inspector> {
  pageFile(); // fails here, not in a request
  const running = new RunningInspector(source, settings);
  await running.listen(settings.port);
  return running;
}

class RunningInspector implements Inspector {
  readonly #source: ReportSource;
  readonly #watcher: Watcher;
  readonly #server: PageServer;
  readonly #entry: Entry;
  readonly closed: Promise<void>;
  #resolveClosed: () => void = () => undefined;
  #isClosing = false;

  constructor(source: ReportSource, { intervalMs, ref }: Settings) {
    this.#source = source;
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#watcher = new Watcher(
      source,
      { intervalMs, ref },
      {
        tick: (tick) => {
          this.#server.tick(tick, performance.now());
        },
        end: () => {
          void this.#end('device-closed');
        },
      },
    );
    this.#server = new PageServer(
      {
        look: () => this.#watcher.start(),
        leave: () => {
          this.#watcher.stop();
        },
        state: () => this.#watcher.state(),
        end: () => {
          void this.#end('device-closed');
        },
      },
      ref,
    );
    // Without a timer: this thread's `close` and `detach` call it. What another thread closes is found at the next look.
    this.#entry = {
      object: this,
      isLive: () => this.#source.isOpen(),
      sweep: () => {
        if (!this.#source.isOpen()) void this.#end('device-closed');
      },
    };
  }

  async listen(port: number): Promise<void> {
    holdEntry(this.#entry);
    try {
      await this.#server.listen(port);
    } catch (error) {
      dropEntry(this.#entry);
      throw error;
    }
  }

  get url(): string {
    return this.#server.url;
  }

  get port(): number {
    return this.#server.port;
  }

  get viewers(): number {
    return this.#server.streams;
  }

  close(): Promise<void> {
    return this.#end('closed');
  }

  [asyncDispose](): Promise<void> {
    return this.close();
  }

  async #end(why: InspectEnd['why']): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      dropEntry(this.#entry);
      this.#watcher.stop();
      await this.#server.close(why);
      this.#resolveClosed();
    }
    return this.closed;
  }
}
