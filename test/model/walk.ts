// Models walk (docs/semantics.md section 13, docs/deviations.md section 8).

import { isStale, type Sge } from './region';
import { refuse, type Session } from './session';
import type { Answer, Fragment, WalkOp } from './trace-types';

/** The progress through one listed SGE. A walk works on copies: an ID that is listed twice has two cursors. */
interface Cursor {
  readonly sge: Sge;
  position: bigint;
  segment: bigint;
  leftInSegment: bigint;
  left: bigint;
}

export function walk(session: Session, op: WalkOp): Answer {
  const sges = op.sges.map((id) => session.sge(id));
  if (op.release && new Set(sges).size < sges.length) return refuse('EINVAL');
  if (sges.some(isStale)) return refuse('EINVAL');
  const held = sum(sges.map((sge) => sge.sgeLength));
  if (sum(op.steps.map(BigInt)) > held) return refuse('EINVAL');

  // Empty SGEs are skipped and not consumed, so a walk with release leaves them alone.
  const cursors = sges.filter((sge) => sge.sgeLength > 0n).map(begin);
  const pending = [...cursors];
  const fragments = op.steps.map((step) => take(pending, BigInt(step)));
  if (op.release) {
    for (const { sge, left } of cursors) if (left === 0n) session.putSge(sge);
  }
  return { ret: 0, fragments };
}

function begin(sge: Sge): Cursor {
  return {
    sge,
    position: sge.position,
    segment: sge.segment,
    leftInSegment: sge.length,
    left: sge.sgeLength,
  };
}

/** Takes one step: removes fragments from the first pending cursor until the step is full. */
function take(pending: Cursor[], step: bigint): Fragment[] {
  const fragments: Fragment[] = [];
  while (step > 0n) {
    const cursor = pending[0];
    if (cursor === undefined) throw new Error('the model walked past the end');
    const { region } = cursor.sge;
    const len = least(step, cursor.leftInSegment, cursor.left);
    fragments.push({ mr: region.id, at: region.locate(cursor.position), len: Number(len) });

    step -= len;
    cursor.left -= len;
    cursor.leftInSegment -= len;
    cursor.position += len;
    if (cursor.left === 0n) {
      pending.shift();
    } else if (cursor.leftInSegment === 0n) {
      // Never reached with key 0, whose single segment is as long as the SGE.
      cursor.segment += 1n;
      cursor.position = region.segments.start(cursor.segment);
      cursor.leftInSegment = region.segmentSize;
    }
  }
  return fragments;
}

function least(...values: bigint[]): bigint {
  return values.reduce((a, b) => (b < a ? b : a));
}

function sum(values: readonly bigint[]): bigint {
  return values.reduce((a, b) => a + b, 0n);
}
