/** Light or dark: as the system says, or as the button says. */
import { byId, setText } from './elements';

const CHOICES = ['system', 'light', 'dark'] as const;
type Choice = (typeof CHOICES)[number];
const STORED = 'rdmavt-inspect-theme';

/** The colors that drawings use, by the names of the page's custom properties. */
export interface Palette {
  readonly text: string;
  readonly muted: string;
  readonly line: string;
  readonly surface: string;
  readonly accent: string;
  readonly bad: string;
  /** By strength of rights. */
  readonly rights: readonly string[];
  /** Of lines. */
  readonly series: readonly string[];
}

export function paletteNow(): Palette {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return {
    text: color('text'),
    muted: color('muted'),
    line: color('line'),
    surface: color('surface'),
    accent: color('accent'),
    bad: color('bad'),
    rights: [0, 1, 2, 3, 4].map((i) => color(`right-${i}`)),
    series: [0, 1, 2, 3].map((i) => color(`series-${i}`)),
  };
}

function stored(): Choice {
  try {
    const value = localStorage.getItem(STORED);
    return CHOICES.find((choice) => choice === value) ?? 'system';
  } catch {
    return 'system'; // storage is forbidden
  }
}

/** Starts to follow the system and the button. Calls `changed` when the colors have changed. */
export function followTheme(changed: () => void): void {
  const button = byId('theme');
  let choice = stored();
  const apply = (): void => {
    if (choice === 'system') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = choice;
    setText(button, `Theme: ${choice}`);
    changed();
  };
  button.addEventListener('click', () => {
    choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length] ?? 'system';
    try {
      localStorage.setItem(STORED, choice);
    } catch {
      // It then lasts as long as the page.
    }
    apply();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
  apply();
}
