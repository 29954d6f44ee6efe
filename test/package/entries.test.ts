import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '..', '..');

/** The exported names, as a user's program sees them in the built package. */
function exportedNames(program: string, inputType: 'commonjs' | 'module'): unknown {
  const output = execFileSync(process.execPath, [`--input-type=${inputType}`, '--eval', program], {
    cwd: root,
    encoding: 'utf8',
  });
  return JSON.parse(output);
}

test('import and require give the same names', () => {
  const required = exportedNames(
    "console.log(JSON.stringify(Object.keys(require('rdmavt')).sort()))",
    'commonjs',
  );
  const imported = exportedNames(
    "import * as rdmavt from 'rdmavt'; console.log(JSON.stringify(Object.keys(rdmavt).sort()))",
    'module',
  );
  expect(imported).toEqual(required);
});
