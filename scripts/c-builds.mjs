// The builds of C code for tests: without and with sanitizers.

/**
 * @typedef {object} Build
 * @property {string} sanitize value of -fsanitize=; empty for no sanitizer
 * @property {Record<string, string>} env default environment variables; variables that the caller has set take precedence
 */

/** The builds of C tests and of the libibverbs shim, by mode. @satisfies {Record<string, Build>} */
export const builds = {
  plain: { sanitize: '', env: {} },
  asan: {
    sanitize: 'address,undefined',
    env: {
      ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    },
  },
  tsan: { sanitize: 'thread', env: { TSAN_OPTIONS: 'second_deadlock_stack=1' } },
};

/**
 * Returns the build of this name. Throws an error if there is none.
 * @param {string} mode
 * @returns {Build}
 */
export function buildOf(mode) {
  if (Object.hasOwn(builds, mode)) return builds[/** @type {keyof typeof builds} */ (mode)];
  throw new Error(`no mode "${mode}"; the modes are ${Object.keys(builds).join(', ')}`);
}
