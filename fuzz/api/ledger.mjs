// What a program has done and met, as the parent adds it up.

/**
 * @typedef {object} Account
 * @property {number} calls
 * @property {Record<string, number>} exceptions by class
 * @property {Record<string, [succeeded: number, threw: number]>} members by name
 * @property {number} workers threads that ran random calls and were terminated
 * @property {number} transfers copies whose bytes were compared
 * @property {string[]} findings
 */

/** @returns {Account} */
export function newAccount() {
  return { calls: 0, exceptions: {}, members: {}, workers: 0, transfers: 0, findings: [] };
}

/**
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
  for (const [name, [succeeded, threw]] of Object.entries(account.members)) {
    const entry = (sum.members[name] ??= [0, 0]);
    entry[0] += succeeded;
    entry[1] += threw;
  }
}

/** Enough to see what is wrong. */
const MOST_FINDINGS = 20;

/** The account of a program that runs. */
export class Ledger {
  account = newAccount();
  /** The call that is running. */
  index = 0;

  /** A member that the program knows: it is in the account even if it is never called. */
  known(/** @type {string} */ member) {
    this.account.members[member] ??= [0, 0];
  }

  succeeded(/** @type {string} */ member) {
    this.account.calls++;
    (this.account.members[member] ??= [0, 0])[0]++;
  }

  /** A call that throws nothing, and succeeded already, has also done what it was asked for. */
  done(/** @type {string} */ what) {
    (this.account.members[what] ??= [0, 0])[0]++;
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

  /** Something that must not be. */
  finding(/** @type {string} */ text) {
    const { findings } = this.account;
    if (findings.length < MOST_FINDINGS) findings.push(`call ${this.index}: ${text}`);
  }
}
