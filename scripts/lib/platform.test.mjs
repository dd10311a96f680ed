import { expect, test } from 'vitest';
import { platformProblem } from './platform.mjs';

test('Linux with Node 20.19 or newer fits', () => {
  expect(['20.19.0', '20.20.2', '22.1.0', '24.21.0'].map((v) => platformProblem('linux', v))).toEqual(
    Array(4).fill(undefined),
  );
});

test('anything else is refused in one sentence that says what is needed and what is there', () => {
  expect(platformProblem('linux', '20.18.3')).toBe('Onepass needs Node 20.19 or newer; this is 20.18.3.');
  expect(platformProblem('linux', '18.20.0')).toContain('18.20.0');
  expect(platformProblem('darwin', '24.0.0')).toBe('Onepass runs on Linux; this is darwin.');
});
