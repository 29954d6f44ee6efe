/** Fills that can be told apart without colors: each strength of rights has a pattern. */
import { type Palette } from './theme';

const SIZE = 8;

/** Draws the lines of a pattern into a square of {@link SIZE} pixels. */
const drawings: readonly ((context: CanvasRenderingContext2D) => void)[] = [
  () => undefined, // local read only: plain
  (context) => {
    // local write: dots
    context.fillRect(1, 1, 2, 2);
    context.fillRect(5, 5, 2, 2);
  },
  (context) => strokes(context, [[0, SIZE, SIZE, 0]]), // remote read: rising lines
  (context) => strokes(context, [[0, 0, SIZE, SIZE]]), // remote write: falling lines
  (context) =>
    // remote atomic: both
    strokes(context, [
      [0, SIZE, SIZE, 0],
      [0, 0, SIZE, SIZE],
    ]),
];

function strokes(context: CanvasRenderingContext2D, lines: readonly (readonly number[])[]): void {
  context.beginPath();
  for (const [x1 = 0, y1 = 0, x2 = 0, y2 = 0] of lines) {
    // Three times, so that the tiles join.
    for (const shift of [-SIZE, 0, SIZE]) {
      context.moveTo(x1 + shift, y1);
      context.lineTo(x2 + shift, y2);
    }
  }
  context.stroke();
}

/** Returns the fill for each strength of rights. */
export function fillsOf(palette: Palette): (CanvasPattern | string)[] {
  return palette.rights.map((color, strength) => {
    const tile = document.createElement('canvas');
    tile.width = tile.height = SIZE;
    const context = tile.getContext('2d');
    if (context === null) return color;
    context.fillStyle = color;
    context.fillRect(0, 0, SIZE, SIZE);
    context.fillStyle = context.strokeStyle = palette.surface;
    context.globalAlpha = 0.75;
    context.lineWidth = 1.2;
    drawings[strength]?.(context);
    return context.createPattern(tile, 'repeat') ?? color;
  });
}
