// Lints files that do not exist: reads [{ file, text }] from standard input and prints, for each file, the names of the rules
// that the text breaks. The rules are those of eslint.config.mjs without the rules that need types, which need existing files.
//
// Runs as a separate program, because Jest cannot load ESLint's configuration, which is an ES module.
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
