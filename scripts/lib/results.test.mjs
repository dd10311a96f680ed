import { expect, test } from 'vitest';
import { countLine, pytestResults, sum, vitestResults } from './results.mjs';

test('vitest: tests are counted, a file that broke before its first test is one failure, skipped ones are named', () => {
  const json = JSON.stringify({
    testResults: [
      {
        name: 'a.test.ts',
        status: 'failed',
        assertionResults: [
          { status: 'passed', fullName: 'adds' },
          { status: 'failed', fullName: 'subtracts' },
          { status: 'skipped', fullName: 'loads with ghz' },
        ],
      },
      { name: 'b.test.ts', status: 'failed', assertionResults: [] },
    ],
  });
  expect(vitestResults(json)).toEqual({ passed: 1, failed: 2, notRun: ['loads with ghz (skipped)'] });
});

test('pytest: failures and errors count as failed, skipped ones are named with their reason', () => {
  const xml = `<?xml version="1.0"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="2" skipped="1" tests="9">
    <testcase classname="tests.test_a" name="test_b" time="0.1"/>
    <testcase classname="tests.test_a" name="test_c" time="0.1"><skipped type="pytest.skip" message="no GPU">x</skipped></testcase>
    </testsuite></testsuites>`;
  expect(pytestResults(xml)).toEqual({ passed: 5, failed: 3, notRun: ['tests.test_a.test_c (no GPU)'] });
});

test('the last line is about all suites together', () => {
  const all = sum([
    { passed: 2, failed: 0, notRun: ['x'] },
    { passed: 3, failed: 1, notRun: [] },
  ]);
  expect(all.notRun).toEqual(['x']);
  expect(countLine(all)).toBe('5 passed, 1 failed');
});
