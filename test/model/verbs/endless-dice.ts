import { Dice } from '../dice';

/**
 * Dice for commands that make very many choices, such as connecting two queue pairs. When the generated numbers are used up, the
 * dice go through them again and mix each with its turn. A number 0 stays 0, so programs still shrink to the simplest choices.
 */
export class EndlessDice extends Dice {
  readonly #numbers: readonly number[];
  #turn = 0;

  constructor(numbers: readonly number[]) {
    super(numbers);
    this.#numbers = numbers;
  }

  override roll(): number {
    const turn = this.#turn++;
    const number = this.#numbers[turn % Math.max(this.#numbers.length, 1)] ?? 0;
    return turn < this.#numbers.length || number === 0 ? number : mix(number, turn);
  }
}

function mix(number: number, turn: number): number {
  let mixed = Math.imul(number ^ Math.imul(turn, 0x9e3779b1), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
