/** The grid of the key table: a cell for each part of it, the fuller the darker, with a mark in cells that are full. */
import { type LiveState } from '../apply-tick';
import { countWords } from '../view-words';
import { byId, contextOf, setText } from './elements';
import { type Palette } from './theme';

const CELL = 9;
const LEAST_ALPHA = 0.25;

export function drawKeyGrid(state: LiveState, palette: Palette): void {
  const { used, max, perCell, cells } = state.keys;
  const canvas = byId('keys-canvas') as HTMLCanvasElement;
  const box = byId('keys');
  const columns = Math.max(16, Math.floor(box.clientWidth / CELL));
  const rows = Math.ceil(cells.length / columns);
  const context = contextOf(canvas, columns * CELL, rows * CELL);
  context.clearRect(0, 0, columns * CELL, rows * CELL);
  let fullest = 0;
  let occupied = 0;
  cells.forEach((count, i) => {
    const [x, y] = [(i % columns) * CELL, Math.floor(i / columns) * CELL];
    const fill = Math.min(count / perCell, 1);
    if (count > 0) occupied++;
    fullest = Math.max(fullest, count);
    context.strokeStyle = palette.line;
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, y + 0.5, CELL - 2, CELL - 2);
    if (count === 0) return;
    // From the bottom, so that the height tells as much as the shade.
    const height = Math.max(2, Math.round(fill * (CELL - 2)));
    context.globalAlpha = LEAST_ALPHA + (1 - LEAST_ALPHA) * fill;
    context.fillStyle = palette.accent;
    context.fillRect(x, y + CELL - 1 - height, CELL - 1, height);
    context.globalAlpha = 1;
  });
  const percent = max === 0 ? 0 : (100 * used) / max;
  const words =
    `${countWords(used)} of ${countWords(max)} slots are used (${percent.toFixed(percent < 10 ? 2 : 0)} %). ` +
    `Each of the ${countWords(cells.length)} cells stands for ${countWords(perCell)} ${perCell === 1 ? 'slot' : 'slots'}; ` +
    `${countWords(occupied)} have used slots, at most ${countWords(fullest)}.`;
  setText(byId('keys-note'), words);
  canvas.setAttribute('aria-label', `Key table: ${words}`);
}
