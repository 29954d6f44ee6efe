// Runs all cases with two peers.
import { cases } from './cases';
import { unreliableCases } from './unreliable-cases';
import type { Family } from './peer';
import { type Pairing, Scene } from './scene';

/**
 * Describes a test for each case.
 *
 * @param pairing - called before each test: the peers, and the wire between them
 */
export function describeCases(family: Family, pairing: () => Pairing): void {
  describe(`over ${family}`, () => {
    let scene: Scene | undefined; // not there if there are no peers
    beforeEach(() => {
      scene = new Scene(pairing(), family);
    });
    // Not at the end of the test, which a case that hangs does not reach.
    afterEach(async () => {
      await scene?.end();
      scene = undefined;
    });

    test.each([...cases, ...unreliableCases])('$title', async ({ run }) => {
      try {
        await run(scene!);
      } catch (error) {
        if (error instanceof Error) error.message += `\n\n${scene!.story()}`;
        throw error;
      }
    });
  });
}
