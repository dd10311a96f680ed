/**
 * What a test suite did.
 * @typedef {object} Results
 * @property {number} passed
 * @property {number} failed
 * @property {readonly string[]} notRun what could not run, each by name
 */

/** @type {Results} */
export const NOTHING = { passed: 0, failed: 0, notRun: [] };

/** @param {readonly Results[]} all */
export function sum(all) {
  return {
    passed: all.reduce((n, r) => n + r.passed, 0),
    failed: all.reduce((n, r) => n + r.failed, 0),
    notRun: all.flatMap((r) => r.notRun),
  };
}

/**
 * The last line of every command that counts.
 * @param {{ passed: number, failed: number }} results
 */
export const countLine = ({ passed, failed }) => `${passed} passed, ${failed} failed`;

/**
 * Counts from vitest's JSON reporter. A file that broke before its first test counts as one failure.
 * @param {string} json
 * @returns {Results}
 */
export function vitestResults(json) {
  const report = JSON.parse(json);
  /** @type {{ status: string, fullName: string, file: string }[]} */
  const tests = report.testResults.flatMap((/** @type {any} */ file) =>
    file.assertionResults.map((/** @type {any} */ test) => ({ ...test, file: file.name })),
  );
  const brokenFiles = report.testResults.filter(
    (/** @type {any} */ file) =>
      file.status === 'failed' && !file.assertionResults.some((/** @type {any} */ t) => t.status === 'failed'),
  );
  return {
    passed: tests.filter((t) => t.status === 'passed').length,
    failed: tests.filter((t) => t.status === 'failed').length + brokenFiles.length,
    notRun: tests.filter((t) => t.status !== 'passed' && t.status !== 'failed').map((t) => `${t.fullName} (skipped)`),
  };
}

/**
 * Counts from pytest's JUnit file.
 * @param {string} xml
 * @returns {Results}
 */
export function pytestResults(xml) {
  const suite = /<testsuite\b[^>]*>/.exec(xml)?.[0] ?? '';
  const count = (/** @type {string} */ name) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(suite)?.[1] ?? 0);
  const failed = count('failures') + count('errors');
  const skipped = [...xml.matchAll(/<testcase\b([^>]*)>\s*<skipped\b([^>]*)/g)].map(([, test = '', reason = '']) => {
    const name = `${attribute(test, 'classname')}.${attribute(test, 'name')}`;
    return `${name} (${attribute(reason, 'message') || 'skipped'})`;
  });
  return { passed: count('tests') - failed - skipped.length, failed, notRun: skipped };
}

/**
 * @param {string} text of an XML element's attributes
 * @param {string} name
 */
function attribute(text, name) {
  return new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(text)?.[1] ?? '';
}
