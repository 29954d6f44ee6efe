// The environment of every test file: Node's; a test that makes the process warn fails, and no file leaves garbage to the next.
import type { JestEnvironment } from '@jest/environment';
import { TestEnvironment } from 'jest-environment-node';

type Handler = NonNullable<JestEnvironment['handleTestEvent']>;

/** Warnings are emitted in the next tick. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Collects what the file before has left. The engine sees small objects where there are tables of closed devices, so it would
 * let them lie: 500 MiB at the end of a run, which a process that ends has to give back page by page.
 */
async function collectGarbage(): Promise<void> {
  (globalThis as { gc?: () => void }).gc?.();
  // Finalizers of native objects run in a turn of their own.
  await turn();
  await turn();
}

/**
 * A test file sees a copy of `process`; warnings are emitted at the process itself, which only code outside the file sees.
 * A test that causes a warning on purpose replaces `process.emitWarning`.
 */
export default class WarningsFail extends TestEnvironment {
  #warnings: Error[] = [];
  readonly #note = (warning: Error): void => {
    this.#warnings.push(warning);
  };

  override async setup(): Promise<void> {
    await collectGarbage();
    await super.setup();
    process.on('warning', this.#note);
  }

  override async teardown(): Promise<void> {
    process.off('warning', this.#note);
    await super.teardown();
  }

  readonly handleTestEvent: Handler = async (event, state) => {
    if (event.name === 'test_done') {
      event.test.errors.push(...(await this.#unexpected()));
    } else if (event.name === 'run_finish') {
      // From the hooks that ran after the last test.
      state.unhandledErrors.push(...(await this.#unexpected()));
    }
  };

  async #unexpected(): Promise<Error[]> {
    await turn();
    return this.#warnings.splice(0).map((warning) => {
      const error = new Error(`The process warned: ${warning.message}`);
      error.stack = `${error.message}\n${(warning.stack ?? '').split('\n').slice(1).join('\n')}`;
      return error;
    });
  }
}
