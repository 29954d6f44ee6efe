// A headless Chromium, driven by its DevTools protocol over two pipes: it needs no port, and no package.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Readable, type Writable } from 'node:stream';

const ANSWER_MS = 30_000;
const START_MS = 60_000;

interface Message {
  id?: number;
  sessionId?: string;
  method?: string;
  params?: any;
  result?: any;
  error?: { message: string };
}

type Listener = (method: string, params: any) => void;

/** A running browser. */
export class Chromium {
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #input: Writable;
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #listeners = new Map<string, Listener>();
  #last = 0;
  #text = '';

  private constructor(command: string) {
    this.#folder = mkdtempSync(join(tmpdir(), 'rdmavt-chromium-'));
    this.#process = spawn(
      command,
      [
        '--headless=new',
        '--remote-debugging-pipe',
        '--no-sandbox', // which root cannot use
        '--disable-dev-shm-usage',
        '--disable-gpu',
        '--no-first-run',
        '--disable-extensions',
        '--disable-background-networking',
        '--disable-component-update',
        '--force-device-scale-factor=1',
        '--hide-scrollbars',
        `--user-data-dir=${this.#folder}`,
        'about:blank',
      ],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
    );
    this.#input = this.#process.stdio[3] as Writable;
    (this.#process.stdio[4] as Readable).setEncoding('utf8').on('data', (chunk: string) => this.#read(chunk));
    this.#process.on('exit', () => {
      for (const answer of this.#waiting.values()) answer({ error: { message: 'the browser has exited' } });
      this.#waiting.clear();
    });
  }

  /** Starts the browser. */
  static async start(command: string): Promise<Chromium> {
    const browser = new Chromium(command);
    try {
      await browser.send('Browser.getVersion', {}, undefined, START_MS);
    } catch (error) {
      await browser.close();
      throw error;
    }
    return browser;
  }

  /** Sends a command and returns its result. */
  send(method: string, params: object = {}, sessionId?: string, timeout = ANSWER_MS): Promise<any> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`${method}: no answer from the browser in ${timeout} ms`));
      }, timeout);
      this.#waiting.set(id, ({ result, error }) => {
        clearTimeout(timer);
        if (error) reject(new Error(`${method}: ${error.message}`));
        else resolve(result);
      });
      this.#input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** Opens a page of a given size. */
  async open(url: string, width = 1280, height = 900): Promise<Page> {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    const page = new Page(this, sessionId, targetId);
    this.#listeners.set(sessionId, page.noted);
    await page.prepare(width, height);
    await page.go(url);
    return page;
  }

  async close(): Promise<void> {
    const exited = new Promise<void>((resolve) => {
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) resolve();
      else this.#process.once('exit', () => resolve());
    });
    this.#process.kill('SIGKILL');
    await exited;
    // Its children, which end a moment later, may still write there.
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #read(chunk: string): void {
    this.#text += chunk;
    const messages = this.#text.split('\0');
    this.#text = messages.pop() ?? '';
    for (const text of messages) {
      const message = JSON.parse(text) as Message;
      const { id, method, params, sessionId = '' } = message;
      if (id !== undefined) {
        const answer = this.#waiting.get(id);
        this.#waiting.delete(id);
        answer?.(message);
      } else if (method !== undefined) {
        this.#listeners.get(sessionId)?.(method, params);
      }
    }
  }
}

const KEYS: Readonly<Record<string, { code: string; windowsVirtualKeyCode: number; text?: string }>> = {
  Tab: { code: 'Tab', windowsVirtualKeyCode: 9 },
  Enter: { code: 'Enter', windowsVirtualKeyCode: 13, text: '\r' },
  Escape: { code: 'Escape', windowsVirtualKeyCode: 27 },
  End: { code: 'End', windowsVirtualKeyCode: 35 },
  Home: { code: 'Home', windowsVirtualKeyCode: 36 },
  ArrowLeft: { code: 'ArrowLeft', windowsVirtualKeyCode: 37 },
  ArrowUp: { code: 'ArrowUp', windowsVirtualKeyCode: 38 },
  ArrowRight: { code: 'ArrowRight', windowsVirtualKeyCode: 39 },
  ArrowDown: { code: 'ArrowDown', windowsVirtualKeyCode: 40 },
  '+': { code: 'Equal', windowsVirtualKeyCode: 187, text: '+' },
  '-': { code: 'Minus', windowsVirtualKeyCode: 189, text: '-' },
};

/** A page, and all that went wrong or was loaded in it. */
export class Page {
  /** Errors and warnings of the console, uncaught exceptions, violations of policies. */
  readonly problems: string[] = [];
  /** Addresses of all requests. */
  readonly requests: string[] = [];
  readonly #browser: Chromium;
  readonly #session: string;
  readonly #target: string;

  constructor(browser: Chromium, session: string, target: string) {
    this.#browser = browser;
    this.#session = session;
    this.#target = target;
  }

  readonly noted: Listener = (method, params) => {
    if (method === 'Runtime.exceptionThrown') {
      const { exceptionDetails: details } = params;
      this.problems.push(`exception: ${details.exception?.description ?? details.text}`);
    } else if (
      method === 'Runtime.consoleAPICalled' &&
      ['error', 'warning', 'assert'].includes(params.type)
    ) {
      this.problems.push(`console: ${JSON.stringify(params.args)}`);
    } else if (
      method === 'Log.entryAdded' &&
      params.entry.level !== 'info' &&
      params.entry.level !== 'verbose'
    ) {
      this.problems.push(`log: ${params.entry.text} ${params.entry.url ?? ''}`);
    } else if (method === 'Audits.issueAdded') {
      this.problems.push(`issue: ${JSON.stringify(params.issue)}`);
    } else if (method === 'Network.requestWillBeSent') {
      this.requests.push(params.request.url);
    }
  };

  async prepare(width: number, height: number): Promise<void> {
    for (const domain of ['Page', 'Runtime', 'Log', 'Network', 'Audits'])
      await this.#send(`${domain}.enable`);
    await this.#send('Page.addScriptToEvaluateOnNewDocument', {
      source: `globalThis.violations = [];
        addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective + ' ' + event.blockedURI));`,
    });
    await this.resize(width, height);
  }

  async go(url: string): Promise<void> {
    const { errorText } = await this.#send('Page.navigate', { url });
    if (errorText) throw new Error(`${url}: ${errorText}`);
    // The answer comes before the new document is there.
    await this.until(`location.href === ${JSON.stringify(url)} && document.readyState === 'complete'`);
  }

  resize(width: number, height: number): Promise<void> {
    return this.#send('Emulation.setDeviceMetricsOverride', {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
  }

  /** Lets the page believe that the system is light or dark. */
  colorScheme(value: 'light' | 'dark'): Promise<void> {
    return this.#send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] });
  }

  /** Evaluates an expression in the page and returns its value. */
  async ask<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value as T;
  }

  /** Waits until an expression is true in the page. */
  async until(expression: string, timeout = 20_000): Promise<void> {
    const end = Date.now() + timeout;
    while (!(await this.ask<boolean>(`Boolean(${expression})`))) {
      if (Date.now() > end) {
        const shown = await this.ask<string>("document.body?.innerText.slice(0, 2000) ?? ''");
        throw new Error(`never true: ${expression}\nThe page shows:\n${shown}\n${this.problems.join('\n')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** The text of an element. */
  text(selector: string): Promise<string> {
    return this.ask(`document.querySelector(${JSON.stringify(selector)})?.innerText ?? ''`);
  }

  /** Presses a key, as a person does. */
  async press(key: string, modifiers = 0): Promise<void> {
    const { text, ...known } = KEYS[key] ?? { code: key, windowsVirtualKeyCode: 0 };
    const common = { key, ...known, modifiers };
    await this.#send('Input.dispatchKeyEvent', { type: text ? 'keyDown' : 'rawKeyDown', text, ...common });
    await this.#send('Input.dispatchKeyEvent', { type: 'keyUp', ...common });
  }

  /** Clicks a point of the page, in pixels of the window. */
  async clickAt(x: number, y: number): Promise<void> {
    const common = { x, y, button: 'left', clickCount: 1 };
    await this.#send('Input.dispatchMouseEvent', { ...common, type: 'mousePressed' });
    await this.#send('Input.dispatchMouseEvent', { ...common, type: 'mouseReleased' });
  }

  /** Clicks the middle of an element. */
  async click(selector: string): Promise<void> {
    const [x, y] = await this.ask<[number, number]>(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: 'center' });
      const { left, top, width, height } = element.getBoundingClientRect();
      return [left + width / 2, top + height / 2];
    })()`);
    await this.clickAt(x, y);
  }

  /** Returns a picture of the window, as a PNG. */
  async screenshot(): Promise<Buffer> {
    const { data } = await this.#send('Page.captureScreenshot', { format: 'png', optimizeForSpeed: false });
    return Buffer.from(data as string, 'base64');
  }

  async close(): Promise<void> {
    await this.#browser.send('Target.closeTarget', { targetId: this.#target });
  }

  #send(method: string, params: object = {}): Promise<any> {
    return this.#browser.send(method, params, this.#session);
  }
}
