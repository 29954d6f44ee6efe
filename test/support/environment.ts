// The environment of every test file: Node's, except that a test fails if it makes the process warn, and that garbage of one file
// is collected before the next.
import type { JestEnvironment } from '@jest/environment';
import { TestEnvironment } from 'jest-environment-node';

type Handler = NonNullable<JestEnvironment['handleTestEvent']>;

/** Waits one turn, because warnings are emitted in the next tick. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/**
 * Collects the garbage of the previous file. The engine sees only small objects where tables of closed devices hang, so it would
 * not collect them: 500 MiB would accumulate during a run, which the process must release page by page when it ends.
 */
async function collectGarbage(): Promise<void> {
  (globalThis as { gc?: () => void }).gc?.();
  // Finalizers of native objects run in a separate turn.
  await turn();
  await turn();
}

/**
 * Fails tests that make the process warn. A test file sees a copy of `process`; warnings are emitted on the real process, which
 * only code outside the file sees. A test that causes a warning on purpose replaces `process.emitWarning`.
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
      // Warnings of hooks that ran after the last test.
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
