// Lints files that are not there: reads [{ file, text }] from standard input and prints, for each, the names of the rules that the
// text breaks there. The rules are those of eslint.config.mjs, but those that need types: they need files that exist.
//
// A program of its own, because Jest cannot load ESLint's configuration, which is a module.
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';

let input = '';
for await (const chunk of process.stdin) input += chunk;

const eslint = new ESLint({
  overrideConfig: [{ files: ['**/*.ts'], ...tseslint.configs.disableTypeChecked }],
});
const results = [];
for (const { file, text } of JSON.parse(input)) {
  const [result] = await eslint.lintText(text, { filePath: file });
  results.push(result.messages.map(({ ruleId, message }) => ruleId ?? message));
}
console.log(JSON.stringify(results));
