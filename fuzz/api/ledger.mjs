// Records what a program did and found. The parent process adds up these accounts.

/**
 * @typedef {object} Account
 * @property {number} calls
 * @property {Record<string, number>} exceptions counts by class
 * @property {Record<string, [succeeded: number, threw: number]>} members counts by name of the called member
 * @property {number} workers number of threads that ran random calls and were terminated
 * @property {number} transfers number of copies whose bytes were compared
 * @property {Record<string, number>} states how often the program reached interesting states, such as a status of a completion
 * @property {string[]} findings
 */

/** @returns {Account} */
export function newAccount() {
  return { calls: 0, exceptions: {}, members: {}, workers: 0, transfers: 0, states: {}, findings: [] };
}

/**
 * Adds an account to a sum.
 *
 * @param {Account} sum
 * @param {Account} account
 */
export function addAccount(sum, account) {
  sum.calls += account.calls;
  sum.workers += account.workers;
  sum.transfers += account.transfers;
  for (const [name, count] of Object.entries(account.exceptions)) {
    sum.exceptions[name] = (sum.exceptions[name] ?? 0) + count;
  }
  for (const [name, count] of Object.entries(account.states))
    sum.states[name] = (sum.states[name] ?? 0) + count;
  for (const [name, [succeeded, threw]] of Object.entries(account.members)) {
    const entry = (sum.members[name] ??= [0, 0]);
    entry[0] += succeeded;
    entry[1] += threw;
  }
}

/** Limit of recorded findings; more would not help to find the cause. */
const MOST_FINDINGS = 20;

/** Keeps the account of a running program. */
export class Ledger {
  account = newAccount();
  /** Index of the running call. */
  index = 0;

  /** Adds a member to the account, so that it appears there even if it is never called. */
  known(/** @type {string} */ member) {
    this.account.members[member] ??= [0, 0];
  }

  succeeded(/** @type {string} */ member) {
    this.account.calls++;
    (this.account.members[member] ??= [0, 0])[0]++;
  }

  /** Counts a native call that reports success in its answer: such calls do not throw when they fail. */
  done(/** @type {string} */ what) {
    (this.account.members[what] ??= [0, 0])[0]++;
  }

  /** Counts that the program has reached a state. */
  saw(/** @type {string} */ state) {
    this.account.states[state] = (this.account.states[state] ?? 0) + 1;
  }

  /**
   * @param {string} member
   * @param {string} exception
   */
  threw(member, exception) {
    this.account.calls++;
    (this.account.members[member] ??= [0, 0])[1]++;
    this.account.exceptions[exception] = (this.account.exceptions[exception] ?? 0) + 1;
  }

  /** Records a violation of what must always hold. */
  finding(/** @type {string} */ text) {
    const { findings } = this.account;
    if (findings.length < MOST_FINDINGS) findings.push(`call ${this.index}: ${text}`);
  }
}
