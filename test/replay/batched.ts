import type { Answer, Operation } from '../../lib/replay/operations';
import type { TracePlayer } from '../../lib/replay/player';

/** Plays operations on a player that keeps checks back, as far ahead as it will; one answer for each. */
export function* playBatched(player: TracePlayer, operations: Iterable<Operation>): Generator<Answer, void> {
  for (const op of operations) {
    if (player.keep(op)) continue;
    yield* player.playKept();
    if (!player.keep(op)) yield player.play(op);
  }
  yield* player.playKept();
}
