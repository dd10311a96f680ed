import { expect, test } from 'vitest';
import { choice, describeSettings, integer, parsed, readSettings, text } from './index.js';

const settings = {
  port: integer('X_PORT', 'port to listen on', { default: 50050, minimum: 0, maximum: 65535 }),
  release: text('X_RELEASE', 'release directory'),
  provider: choice('X_PROVIDER', 'execution provider', ['auto', 'cpu', 'cuda'], { default: 'auto' }),
};

test('defaults fill what is unset or empty', () => {
  const values = readSettings(settings, { X_RELEASE: 'r', X_PORT: '' });
  expect(values).toEqual({ port: 50050, release: 'r', provider: 'auto' });
  expect(Object.isFrozen(values)).toBe(true);
});

test('every wrong variable is named in one sentence', () => {
  expect(() => readSettings(settings, { X_PORT: '7e9', X_PROVIDER: 'tpu' })).toThrow(
    'X_PORT: must be a whole number from 0 to 65535; X_RELEASE: is required and not set; X_PROVIDER: must be one of auto, cpu, cuda',
  );
  expect(() => readSettings(settings, { X_RELEASE: 'r', X_PORT: 'many' })).toThrow('X_PORT');
});

test('help names every variable', () => {
  expect(describeSettings(settings)).toContain('X_PORT      port to listen on (default 50050, 0..65535)');
});

test('a shape of its own is parsed, its problem named', () => {
  const pair = parsed('X_PAIR', 'two words', (raw) => {
    const [a, b] = raw.split('=');
    if (b === undefined) throw new Error('must look like a=b');
    return { a, b };
  });
  expect(readSettings({ pair }, { X_PAIR: 'k=v' })).toEqual({ pair: { a: 'k', b: 'v' } });
  expect(() => readSettings({ pair }, { X_PAIR: 'k' })).toThrow('X_PAIR: must look like a=b');
  expect(() => readSettings({ pair }, {})).toThrow('X_PAIR: is required and not set');
});
