import { invalidArguments, OnepassError } from '@onepass/errors';
import { fromTraceparent, silentLogger } from '@onepass/telemetry';
import { expect, test } from 'vitest';
import { accessLog } from './access-log.js';

const RECOMMEND = 'onepass.gateway.v1.RecommendationService/Recommend';
const span = fromTraceparent(`00-${'ab'.repeat(16)}-${'12'.repeat(8)}-00`);
const call = { span, caller: 'frontend', ms: 1.26 };

function kept() {
  const lines: [level: string, fields: object, message: string][] = [];
  const at = (level: string) => (fields: object, message: string) => void lines.push([level, fields, message]);
  return {
    lines,
    log: accessLog({ ...silentLogger, info: at('info'), warn: at('warn'), error: at('error') }, RECOMMEND),
  };
}

test('of wrong fields the names are told, not what was in them', () => {
  const { lines, log } = kept();
  log(invalidArguments([{ field: 'person.user_id', description: 'is 900 bytes: secret' }]), call);
  expect(lines).toEqual([
    [
      'info',
      {
        method: RECOMMEND,
        kind: 'invalid_argument',
        caller: 'frontend',
        ms: 1.3,
        fields: ['person.user_id'],
        trace_id: 'ab'.repeat(16),
        span_id: '12'.repeat(8),
      },
      'call failed',
    ],
  ]);
});

test('of a field that a caller named, a key of a map, the map alone is told', () => {
  const { lines, log } = kept();
  const wrong = ['features["ada@example.org"]', 'utility_weights["\\"]"]', 'items[3].position'];
  log(invalidArguments(wrong.map((field) => ({ field, description: 'is wrong' }))), call);
  expect(lines[0]?.[1]).toMatchObject({ fields: ['features', 'utility_weights', 'items[3].position'] });
});

test('a defect is told with its cause; a flood of refusals, or of calls given up, is one line', () => {
  const { lines, log } = kept();
  const cause = new Error('why');
  log(new OnepassError({ kind: 'internal' }, 'internal error', { cause }), call);
  for (let i = 0; i < 100; i++) log(new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, 'too much'), call);
  for (let i = 0; i < 100; i++) log(new OnepassError({ kind: 'cancelled' }, 'the caller has gone'), call);
  expect(lines.map(([level, , message]) => [level, message])).toEqual([
    ['error', 'call failed'],
    ['warn', 'call refused: overloaded'],
    ['info', 'call given up: cancelled'],
  ]);
  expect(lines[0]?.[1]).toMatchObject({ err: cause });
});
