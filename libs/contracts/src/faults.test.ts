import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { openFaults, parseFaults } from './faults.js';
import { EmbeddingType } from './gen/onepass/common/v1/common_pb.js';
import { EncodeResponseSchema } from './gen/onepass/encoder/v1/encoder_pb.js';
import { RankResponseSchema } from './gen/onepass/ranking/v1/ranking_pb.js';

const open = (flags: string) => {
  const faults = openFaults(parseFaults(flags), 'development');
  if (!faults) throw new Error('no faults');
  return faults;
};
const never = new AbortController().signal;

test('off unless set, and refused in production mode', () => {
  expect(openFaults(parseFaults(''), 'production')).toBeUndefined();
  expect(() => openFaults(parseFaults('Rank:hang'), 'production')).toThrow(
    'ONEPASS_FAULTS breaks calls on purpose and is refused unless ONEPASS_MODE is development',
  );
});

test.each([
  ['Runk:hang', '"Runk" is neither a method of the contract nor LeafN, a shard of retrieval'],
  ['Rank', 'Rank: says no fault'],
  ['Rank:share=0.5', 'Rank:share=0.5: says no fault'],
  ['Rank:nan:share=2', 'share=2: must be a number from 0 to 1'],
  ['Rank:nan:share=0', 'share=0: must be more than 0'],
  ['Rank:delay=-1ms', 'delay=-1: must be a number from 1 to 600000'],
  ['Rank:error=bad', 'error=bad: errors are unavailable, overloaded'],
  ['Rank:explode', '"explode" is none of delay=Nms, hang, error=KIND, nan'],
])('%s is refused', (flags, why) => {
  expect(() => parseFaults(flags)).toThrow(why);
});

test('a share of the calls, the same for the same seed', async () => {
  const failures = async (seed: number) => {
    const faults = open(`Rank:error=unavailable:share=0.25;seed=${seed}`);
    const calls = Array.from({ length: 1_000 }, () => faults.before('Rank', never));
    return (await Promise.allSettled(calls)).map((call) => call.status);
  };
  const first = await failures(7);
  expect(first.filter((status) => status === 'rejected').length).toBeGreaterThan(200);
  expect(first.filter((status) => status === 'rejected').length).toBeLessThan(300);
  expect(await failures(7)).toEqual(first);
  expect(await failures(8)).not.toEqual(first);
});

test('other methods are left alone', () => {
  const faults = open('Rank:hang');
  expect(faults.before('Encode', never)).toBeUndefined();
  const answer = create(EncodeResponseSchema, { kv: { releaseId: 'r' } });
  expect(faults.after('Encode', answer)).toBe(answer);
});

test('a call that hangs ends with its caller', async () => {
  const caller = new AbortController();
  const call = open('Rank:hang').before('Rank', caller.signal);
  caller.abort(new Error('gone'));
  await expect(call).rejects.toMatchObject({ kind: 'internal', cause: new Error('gone') });
});

const floats = (bytes: Uint8Array) => Array.from(new Float32Array(Uint8Array.from(bytes).buffer));
const bytes = (...numbers: number[]) => new Uint8Array(Float32Array.from(numbers).buffer);

/** What arrives, over the wire. */
function ranked(flag: string) {
  const answer = create(RankResponseSchema, {
    utilities: bytes(1, 2, 3, 4),
    probabilities: bytes(1, 2, 3, 4),
    releaseId: 'r-1',
    actions: ['click'],
  });
  return fromBinary(RankResponseSchema, toBinary(RankResponseSchema, open(flag).after('Rank', answer)));
}

test('answers that are wrong still are messages', () => {
  expect(floats(ranked('Rank:nan').utilities)).toEqual([NaN, NaN, NaN, NaN]);
  expect(ranked('Rank:nan')).toMatchObject({ releaseId: 'r-1', actions: ['click'] });
  expect(ranked('Rank:wrong_release').releaseId).toBe('another-release');
  expect(ranked('Rank:truncated').utilities).toHaveLength(15);
  expect(floats(ranked('Rank:short').utilities)).toEqual([1, 2]);
});

test('messages inside a message are reached too', () => {
  const answer = create(EncodeResponseSchema, {
    kv: { releaseId: 'r-1', length: 3 },
    queries: { values: bytes(1, 2), type: EmbeddingType.F32, dimension: 2 },
  });
  const faults = open('Encode:wrong_release;Encode:wrong_dimension');
  const wrong = fromBinary(EncodeResponseSchema, toBinary(EncodeResponseSchema, faults.after('Encode', answer)));
  expect(wrong).toMatchObject({ kv: { releaseId: 'another-release', length: 3 }, queries: { dimension: 3 } });
  expect(answer.kv?.releaseId).toBe('r-1');
});
