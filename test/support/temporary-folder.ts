// A folder for the files of a test file.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TemporaryFolder {
  /** Its path, while tests run. */
  readonly path: string;
  /** Writes a file in it and returns the file's path. */
  file(name: string, content: string | Uint8Array): string;
}

/** Makes a folder before the tests of a file or of a `describe`, and removes it after them. */
export function temporaryFolder(): TemporaryFolder {
  let path: string | undefined;
  beforeAll(() => {
    path = mkdtempSync(join(tmpdir(), 'rdmavt-test-'));
  });
  afterAll(() => {
    if (path !== undefined) rmSync(path, { recursive: true });
  });
  return {
    get path() {
      if (path === undefined) throw new Error('the folder exists only while tests run');
      return path;
    },
    file(name, content) {
      const file = join(this.path, name);
      writeFileSync(file, content);
      return file;
    },
  };
}
