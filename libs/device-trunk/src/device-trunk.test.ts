import { OnepassError } from '@onepass/errors';
import type { RunTerms } from '@onepass/inference';
import type { KvReference, SlotState } from '@onepass/kv';
import { beforeEach, describe, expect, test } from 'vitest';
import type { BucketOptions } from './buckets.js';
import { pageBytes } from './device-pools.js';
import { DeviceTrunk, type DeviceTrunkOptions } from './device-trunk.js';
import { hold, TOY, type ToyDevice, toyDevice, toyHidden, toyProbabilities } from './toy-trunk.suite.js';
import type { EncodeResult, RankAsk, RankResult } from './trunk-ask.js';

const BUCKETS: BucketOptions = { people: 8, slates: 8, padding: 0.5, most: 2048 };
const SHAPE = { kv: { layers: 1, width: 4, capacity: 16 }, element: 'float32', pageTokens: 4 } as const;
const [ANN, BEA, CAT, DAN] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(32)) as [string, string, string, string];

let device: ToyDevice;
let trunk: DeviceTrunk;
let seed = 0;
beforeEach(async () => {
  seed = 0;
  device = toyDevice();
  trunk = await open();
});

async function open(more: Partial<DeviceTrunkOptions> = {}): Promise<DeviceTrunk> {
  const kv = { slots: 8, bytes: 34 * pageBytes(SHAPE), releaseId: 'r', poolId: 'p', restMs: 0 };
  const usual = {
    model: TOY,
    attention: { encode: 'plain', rank: 'plain' },
    candidates: 8,
    buckets: BUCKETS,
    maxQueued: 64,
  };
  return DeviceTrunk.open({ engine: device.engine, kv, prepared: { most: 64, bytes: 1e9 }, ...usual, ...more });
}

/** So many numbers, never the same. */
function numbers(count: number): Float32Array {
  return Float32Array.from({ length: count }, () => {
    seed = (seed * 73 + 41) % 1009;
    return (seed - 504) / 504;
  });
}

const rowsOf = (tokens: number) => numbers(tokens * TOY.columns);

function slate(candidates: number, contextRows = 1): Omit<RankAsk, 'kv'> {
  return {
    context: rowsOf(contextRows),
    contextRows,
    candidates: numbers(candidates * TOY.embedding),
    candidateCount: candidates,
    candidateRow: numbers(TOY.columns - TOY.embedding),
  };
}

function allocate(person: string, tokens = 16): SlotState {
  const state = trunk.kv.allocate(person, tokens);
  if (typeof state === 'string') throw new Error(state);
  return state;
}

function append(state: SlotState, rows: Float32Array, terms?: RunTerms, tokens = rows.length / TOY.columns) {
  const from = state.length;
  return trunk.encode({ state, from, rows, tokens, sequence: from + tokens, hash: BigInt(from + tokens) }, terms);
}

async function held(
  person: string,
  tokens: number,
): Promise<{ rows: Float32Array; kv: KvReference; state: SlotState }> {
  const state = allocate(person);
  const rows = rowsOf(tokens);
  const { reference } = await append(state, rows);
  return { rows, kv: reference, state };
}

function expectNear(actual: Float32Array, expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  expect(Math.max(...actual.map((x, i) => Math.abs(x - expected[i]!) / (1 + Math.abs(expected[i]!))))).toBeLessThan(
    1e-4,
  );
}

/** Finite, but sums of it are not. */
const tooLarge = (count: number) => new Float32Array(count).fill(1e38);
const hasNumber = (all: Float32Array) => all.some(Number.isFinite);
const joined = (...parts: Float32Array[]) => Float32Array.from(parts.flatMap((part) => [...part]));
/** The trunk has done its sums after it answered. */
const calm = () => new Promise<void>((resolve) => setImmediate(resolve));
const mostPeople = () => Math.max(...device.runs.map(({ sizes }) => sizes.b!));

test('one person: encode, append, rank, and rows of the request of which nothing is kept', async () => {
  const { rows, kv, state } = await held(ANN, 5);
  const more = rowsOf(4);
  const appended = await append(state, more);
  expectNear(appended.hidden, toyHidden(joined(rows, more)));
  const asked = slate(3, 2);
  expectNear(
    (await trunk.rank({ ...asked, kv: appended.reference })).probabilities,
    toyProbabilities(joined(rows, more), asked),
  );
  expectNear((await trunk.rank({ ...asked, kv })).probabilities, toyProbabilities(rows, asked));
  const context = rowsOf(2);
  const last = await append(state, joined(rowsOf(0), context), {}, 0);
  expectNear(last.hidden, toyHidden(joined(rows, more, context)));
  expect(state.length).toBe(9);
  const newer = rowsOf(1);
  expectNear((await append(state, newer)).hidden, toyHidden(joined(rows, more, newer)));
});

test('an encode whose graph writes the pools through its inputs', async () => {
  trunk = await open({ attention: { encode: 'paged', rank: 'plain' } });
  const { rows, kv } = await held(ANN, 7);
  const asked = slate(3);
  expectNear((await trunk.rank({ ...asked, kv })).probabilities, toyProbabilities(rows, asked));
});

test('a pass of which nothing is kept is answered as any other, beside those that are kept; it has no slot, and its past is empty', async () => {
  trunk = await open({ attention: { prefill: 'plain', encode: 'plain', rank: 'plain' } });
  const contexts = [rowsOf(4), rowsOf(4)];
  const nothing = { from: 0, tokens: 0, sequence: 0, hash: 0n };
  const release = hold(device);
  const first = held(ANN, 3);
  await calm();
  const passes = contexts.map((rows) => trunk.encode({ ...nothing, rows }));
  const beside = held(BEA, 4);
  expect(trunk.stats().waiting).toEqual({ encode: 3, rank: 0 });
  release();
  const [ann, bea] = await Promise.all([first, beside]);
  for (const [i, { hidden, reference, timing }] of (await Promise.all(passes)).entries()) {
    expectNear(hidden, toyHidden(contexts[i]!));
    expect(timing.shared).toBe(3);
    const asked = slate(2);
    expectNear(
      (await trunk.rank({ ...asked, kv: reference })).probabilities,
      toyProbabilities(new Float32Array(0), asked),
    );
  }
  for (const { rows, kv } of [ann, bea]) {
    const asked = slate(2);
    expectNear((await trunk.rank({ ...asked, kv })).probabilities, toyProbabilities(rows, asked));
  }
  expect(trunk.kv.stats()).toMatchObject({ persons: 2, slots: { held: 2 } });
  const large = await trunk.encode({ ...nothing, rows: tooLarge(5 * TOY.columns) });
  expect(hasNumber(large.hidden)).toBe(false);
  for (const bad of [{ from: 1 }, { tokens: 1 }, { rows: rowsOf(16) }])
    await expect(trunk.encode({ ...nothing, rows: rowsOf(1), ...bad })).rejects.toMatchObject({ kind: 'internal' });
});

test('closing waits for what is prepared and for who is forgotten', async () => {
  device = toyDevice({ lanes: 2, bytes: 1e6 });
  trunk = await open();
  const { state } = await held(ANN, 8);
  trunk.kv.release(state);
  const release = hold(device);
  const warmed = trunk.warmUp([
    { b: 2, g: 4, m: 16 },
    { b: 4, g: 4, m: 16 },
  ]);
  const forgotten = trunk.kv.forget(ANN);
  await calm();
  const closed = trunk.close();
  release();
  await expect(warmed).rejects.toMatchObject({ kind: 'unavailable' });
  await Promise.all([forgotten, closed]);
  expect(device.engine.memory().freeBytes).toBe(1e6);
});

test('an empty past is ranked, and two of them share a run', async () => {
  const empty = { ...(await held(ANN, 1)).kv, length: 0, personKey: new Uint8Array(0), poolId: '' };
  const asked = [slate(8), slate(8)];
  const results = await Promise.all(asked.map((one) => trunk.rank({ ...one, kv: empty })));
  for (const [i, { probabilities, timing }] of results.entries()) {
    expectNear(probabilities, toyProbabilities(new Float32Array(0), asked[i]!));
    expect(timing.shared).toBe(2);
  }
});

test('who comes while lanes are busy shares the next run; slates of one person are one entry; each has their own numbers', async () => {
  const people = await Promise.all([ANN, BEA, CAT].map((person) => held(person, 12)));
  const release = hold(device);
  const first = trunk.rank({ ...slate(8), kv: people[0]!.kv });
  await Promise.resolve();
  device.runs.length = 0;
  const asked = [...people, people[0]!].map(({ rows, kv }) => ({ rows, ask: { ...slate(8), kv } }));
  const answers = asked.map(({ ask }) => trunk.rank(ask));
  release();
  await first;
  const results = await Promise.all(answers);
  for (const [i, { probabilities }] of results.entries())
    expectNear(probabilities, toyProbabilities(asked[i]!.rows, asked[i]!.ask));
  expect(device.runs.filter(({ graph }) => graph === 'rank').length).toBeLessThan(1 + asked.length);
  expect(results.map(({ timing }) => timing.shared)).toContain(3);
  await calm();
  expect(trunk.stats()).toMatchObject({ waiting: { encode: 0, rank: 0 }, running: 0 });
});

test('two encodes of one person are never in one run: the second is behind the first, or is answered by it', async () => {
  device = toyDevice({ lanes: 2, isSlow: true });
  trunk = await open();
  const state = allocate(ANN);
  const rows = rowsOf(4);
  const same = { state, from: 0, rows, tokens: 4, sequence: 4, hash: 4n };
  const [one, two] = await Promise.all([trunk.encode(same), trunk.encode(same)]);
  expect(two).toBe(one);
  await calm();
  expect(trunk.stats().asked).toBe(1);
  const other = { ...same, sequence: 5, hash: 5n };
  const [appended, stale] = await Promise.allSettled([append(state, rowsOf(1)), trunk.encode(other)]);
  expect(appended.status).toBe('fulfilled');
  expect(stale).toMatchObject({
    reason: { kind: 'kv_miss', message: 'KV miss: the slot holds other tokens than were meant' },
  });
});

describe('what is bad fails alone', () => {
  test('a wrong shape never comes near a run', async () => {
    const { kv, state } = await held(ANN, 2);
    const good = slate(2);
    const causes = async (call: Promise<unknown>) => ((await call.catch((error) => error)) as OnepassError).cause;
    for (const [bad, problem] of [
      [{ ...good, context: rowsOf(2) }, 'rank: context has 10 numbers instead of 5'],
      [{ ...good, contextRows: 3 }, 'rank: 3 context rows, the model takes 1 to 2'],
      [{ ...good, candidateCount: 9 }, 'rank: 9 candidates, there may be 1 to 8'],
      [{ ...good, candidateRow: numbers(1) }, 'rank: candidateRow has 1 numbers instead of 2'],
    ] as const)
      expect(await causes(trunk.rank({ ...bad, kv }))).toMatchObject({ message: problem });
    const encode = { state, from: 2, tokens: 1, sequence: 3, hash: 3n };
    expect(await causes(trunk.encode({ ...encode, rows: numbers(4) }))).toMatchObject({
      message: expect.stringContaining('encode: rows has 4 numbers'),
    });
    expect(await causes(append(state, rowsOf(1), {}, 2))).toMatchObject({
      message: expect.stringMatching(/2 of 1 rows/),
    });
    await expect(append(state, rowsOf(15))).rejects.toThrow('KV miss: the slot has no room');
    await calm();
    expect(trunk.stats().runs).toBe(1);
  });

  test('no number in one encode of a run: their KV is retired and zeroed, the others are right', async () => {
    const states = [ANN, BEA, CAT].map((person) => allocate(person));
    const rows = states.map(() => rowsOf(8));
    rows[1]![3] = Number.NaN;
    const results = await Promise.allSettled(states.map((state, i) => append(state, rows[i]!)));
    expect(mostPeople()).toBeGreaterThan(1);
    expect(results[1]).toMatchObject({
      reason: {
        kind: 'internal',
        cause: { message: 'K and V of 8 tokens behind 0 are not finite; the KV is retired' },
      },
    });
    for (const i of [0, 2])
      expectNear((results[i] as PromiseFulfilledResult<EncodeResult>).value.hidden, toyHidden(rows[i]!));
    expect(trunk.kv.lookup(BEA)).toBeUndefined();
    trunk.kv.release(states[1]!);
    // Nothing of it is in the way of those who come after.
    const again = await held(DAN, 3);
    const asked = slate(4);
    expectNear((await trunk.rank({ ...asked, kv: again.kv })).probabilities, toyProbabilities(again.rows, asked));
  });

  test('no number in an append: what was held before is retired and zeroed with it', async () => {
    const { kv, state } = await held(ANN, 3);
    const pages = trunk.kv.pagesFor(state, 4);
    await expect(append(state, new Float32Array(TOY.columns).fill(Number.NaN))).rejects.toMatchObject({
      kind: 'internal',
    });
    expect(trunk.kv.lookup(ANN)).toBeUndefined();
    await expect(trunk.rank({ ...slate(1), kv })).rejects.toThrow('KV miss');
    const row = new Float32Array(16).fill(1);
    await trunk.kv.pools.read(pages[0]! * 4, [row], [row]);
    expect([...row]).toEqual(Array(16).fill(0));
    trunk.kv.release(state);
  });

  test('no number for context rows that are too large: they are answered so, and the KV stays, new tokens beside them too', async () => {
    const people = await Promise.all([ANN, BEA, CAT].map((person) => held(person, 6)));
    const news = rowsOf(2);
    const good = rowsOf(3);
    const [alone, beside, other] = await Promise.all([
      append(people[0]!.state, tooLarge(TOY.columns), {}, 0),
      append(people[1]!.state, joined(news, tooLarge(TOY.columns)), {}, 2),
      append(people[2]!.state, good),
    ]);
    expect(mostPeople()).toBeGreaterThan(1);
    expect([alone, beside].map(({ hidden }) => hasNumber(hidden))).toEqual([false, false]);
    expectNear(other!.hidden, toyHidden(joined(people[2]!.rows, good)));
    const asked = slate(3);
    for (const [kv, rows] of [
      [people[0]!.kv, people[0]!.rows],
      [alone!.reference, people[0]!.rows],
      [beside!.reference, joined(people[1]!.rows, news)],
    ] as const) {
      expect(kv.length).toBe(rows.length / TOY.columns);
      expectNear((await trunk.rank({ ...asked, kv })).probabilities, toyProbabilities(rows, asked));
    }
    const more = rowsOf(1);
    expectNear((await append(people[1]!.state, more)).hidden, toyHidden(joined(people[1]!.rows, news, more)));
  });

  test('context rows that spoil the new tokens beside them: these are encoded without; tokens that have no numbers are retired still', async () => {
    const people = await Promise.all([ANN, BEA].map((person) => held(person, 3)));
    const news = rowsOf(2);
    // As attention does that multiplies what it must not see by 0.
    device.sabotage = (_, { rows }) => {
      const all = rows as Float32Array | undefined;
      if (all?.includes(Math.fround(1e38))) all.fill(Number.NaN);
    };
    const { hidden, reference } = await append(people[0]!.state, joined(news, tooLarge(TOY.columns)), {}, 2);
    expect([hidden.length, hasNumber(hidden), reference.length]).toEqual([TOY.width, false, 5]);
    const asked = slate(3);
    expectNear(
      (await trunk.rank({ ...asked, kv: reference })).probabilities,
      toyProbabilities(joined(people[0]!.rows, news), asked),
    );
    const bad = joined(new Float32Array(TOY.columns).fill(Number.NaN), tooLarge(TOY.columns));
    await expect(append(people[1]!.state, bad, {}, 1)).rejects.toMatchObject({
      cause: { message: 'K and V of 1 tokens behind 3 are not finite; the KV is retired' },
    });
    expect(trunk.kv.lookup(BEA)).toBeUndefined();
  });

  test('no number of any candidate, since they or their contexts are too large: answered so, and the KV stays', async () => {
    const people = await Promise.all([ANN, BEA].map((person) => held(person, 8)));
    const good = slate(8);
    const candidates = tooLarge(8 * TOY.embedding);
    const context = tooLarge(TOY.columns);
    const [first, second, ...others] = await Promise.all([
      trunk.rank({ ...slate(8), candidates, kv: people[0]!.kv }),
      trunk.rank({ ...slate(8), context, kv: people[0]!.kv }),
      ...people.map(({ kv }) => trunk.rank({ ...good, kv })),
    ]);
    expect([first, second].map(({ probabilities }) => hasNumber(probabilities))).toEqual([false, false]);
    for (const [i, { probabilities }] of others.entries())
      expectNear(probabilities, toyProbabilities(people[i]!.rows, good));
    expect(trunk.kv.lookup(ANN)).toBeDefined();
    const empty = { ...people[0]!.kv, length: 0, generation: 0n, personKey: new Uint8Array(0) };
    const nobody = await trunk.rank({ ...slate(8), candidates, kv: empty });
    expect(hasNumber(nobody.probabilities)).toBe(false);
  });

  test('KV without numbers is found page by page; that it ends meanwhile is a miss, and nothing of others goes', async () => {
    const state = allocate(ANN);
    const keys = [new Float32Array(15 * 4).fill(1)];
    const values = [new Float32Array(15 * 4).fill(1)];
    values[0]![5 * 4] = Number.NaN;
    await trunk.kv.write(state, 0, { keys, values });
    trunk.kv.publish(state, { length: 15, sequence: 15, hash: 0n });
    const kv = trunk.kv.reference(state);
    const { engine } = device;
    let reads = 0;
    const read = engine.read.bind(engine);
    engine.read = (...copy) => {
      reads++;
      return read(...copy);
    };
    const bea = await held(BEA, 8);
    const good = slate(2);
    const [bad, other] = await Promise.allSettled([
      trunk.rank({ ...slate(2), kv }),
      trunk.rank({ ...good, kv: bea.kv }),
    ]);
    expect(bad).toMatchObject({
      reason: { cause: { message: 'K and V of a past of 15 tokens are not finite; the KV is retired' } },
    });
    expect(reads).toBe(4);
    expect(other.status).toBe('fulfilled');
    expect(trunk.kv.lookup(ANN)).toBeUndefined();
    engine.read = async (...copy) => {
      trunk.kv.retire(BEA);
      await read(...copy);
    };
    const ended = trunk.rank({ ...slate(8), candidates: tooLarge(8 * TOY.embedding), kv: bea.kv });
    await expect(ended).rejects.toMatchObject({ kind: 'kv_miss' });
    const cat = allocate(CAT);
    engine.read = async (...copy) => {
      trunk.kv.retire(CAT);
      await read(...copy);
    };
    const encoded = append(cat, joined(rowsOf(4), tooLarge(TOY.columns)), {}, 4);
    await expect(encoded).rejects.toMatchObject({ kind: 'kv_miss' });
    expect(trunk.kv.lookup(CAT)).toBeUndefined();
  });

  test('while KV is looked at, the others of the run have their answers', async () => {
    const people = await Promise.all([ANN, BEA].map((person) => held(person, 6)));
    const { engine } = device;
    const read = engine.read.bind(engine);
    let look = () => {};
    const looked = new Promise<void>((resolve) => {
      look = resolve;
    });
    engine.read = async (...copy) => {
      await looked;
      await read(...copy);
    };
    const large = append(people[0]!.state, joined(rowsOf(2), tooLarge(TOY.columns)), {}, 2);
    const rows = rowsOf(3);
    const { hidden, timing } = await append(people[1]!.state, rows);
    expect(timing.shared).toBe(2);
    expectNear(hidden, toyHidden(joined(people[1]!.rows, rows)));
    look();
    expect((await large).reference.length).toBe(8);
  });

  test('no number in one ranking: of what was asked with, it is only theirs; of the KV, it is retired', async () => {
    const people = await Promise.all([ANN, BEA].map((person) => held(person, 8)));
    const bad = slate(8);
    bad.context[4] = Number.NaN;
    const good = [slate(8), slate(8)];
    const results = await Promise.allSettled([
      trunk.rank({ ...good[0]!, kv: people[0]!.kv }),
      trunk.rank({ ...bad, kv: people[0]!.kv }),
      trunk.rank({ ...good[1]!, kv: people[1]!.kv }),
    ]);
    expect(hasNumber((results[1] as PromiseFulfilledResult<RankResult>).value.probabilities)).toBe(false);
    for (const [i, j] of [
      [0, 0],
      [2, 1],
    ] as const)
      expectNear(
        (results[i] as PromiseFulfilledResult<{ probabilities: Float32Array }>).value.probabilities,
        toyProbabilities(people[j]!.rows, good[j]!),
      );
    const [page] = trunk.kv.read(people[0]!.kv);
    expect(trunk.kv.lookup(ANN)).toBeDefined();
    await trunk.kv.pools.write(page! * 4, [new Float32Array(4)], [new Float32Array(4).fill(Number.NaN)]);
    const poisoned = await Promise.allSettled(people.map(({ kv }, i) => trunk.rank({ ...good[i]!, kv })));
    expect(poisoned.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(poisoned[0]).toMatchObject({
      reason: { cause: { message: expect.stringMatching(/8 tokens are not finite; the KV is retired/) } },
    });
    expect(trunk.kv.lookup(ANN)).toBeUndefined();
    expect(trunk.kv.lookup(BEA)).toBeDefined();
  });

  test('no number of one candidate: theirs alone, and the KV stays', async () => {
    const { kv, rows } = await held(ANN, 8);
    const odd = slate(4);
    odd.candidates[TOY.embedding] = Number.NaN;
    const { probabilities } = await trunk.rank({ ...odd, kv });
    const expected = toyProbabilities(rows, odd);
    const others = (all: Float32Array) => all.filter((_, i) => Math.floor(i / TOY.actions) !== 1);
    expectNear(others(probabilities), others(expected));
    expect([...probabilities].filter(Number.isNaN)).toHaveLength(TOY.actions);
    expect(trunk.kv.lookup(ANN)).toBeDefined();
  });

  test('KV of no numbers that cannot be zeroed now is told to whom it belongs: what others wrote in that run stays', async () => {
    const states = [ANN, BEA].map((person) => allocate(person));
    const rows = states.map(() => rowsOf(8));
    rows[1]![3] = Number.NaN;
    const { engine } = device;
    const clear = engine.clear.bind(engine);
    engine.clear = async () => {
      engine.clear = clear;
      throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, 'not now');
    };
    const [ann, bea] = await Promise.allSettled(states.map((state, i) => append(state, rows[i]!)));
    const { reference } = (ann as PromiseFulfilledResult<EncodeResult>).value;
    const asked = slate(4);
    expectNear((await trunk.rank({ ...asked, kv: reference })).probabilities, toyProbabilities(rows[0]!, asked));
    expect(bea).toMatchObject({ reason: { kind: 'overloaded', message: 'not now' } });
    expect(trunk.kv.lookup(BEA)).toBeUndefined();
    for (const state of states) trunk.kv.release(state);
    await Promise.all([ANN, BEA].map((person) => trunk.kv.forget(person)));
    expect(trunk.kv.stats().persons).toBe(0);
  });

  test('a run that fails is tried again, each alone; whose own run fails is answered so', async () => {
    const states = [ANN, BEA, CAT].map((person) => allocate(person));
    const rows = states.map(() => rowsOf(8));
    device.sabotage = (_, inputs) => {
      if ((inputs.rows as Float32Array).includes(rows[1]![7]!)) throw new OnepassError({ kind: 'internal' }, 'broken');
    };
    const results = await Promise.allSettled(states.map((state, i) => append(state, rows[i]!)));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    device.sabotage = undefined;
    expectNear((await append(states[1]!, rows[1]!)).hidden, toyHidden(rows[1]!));
    expectNear((results[2] as PromiseFulfilledResult<EncodeResult>).value.hidden, toyHidden(rows[2]!));
  });

  test('KV that is retired or used again under a run is a miss of theirs alone', async () => {
    const people = await Promise.all([ANN, BEA].map((person) => held(person, 8)));
    const asks = () => people.map(({ kv }) => trunk.rank({ ...slate(4), kv }));
    await Promise.all(asks());
    await calm();
    const release = hold(device);
    const answers = asks();
    const settled = Promise.allSettled(answers);
    await calm();
    trunk.kv.retire(BEA);
    release();
    expect((await settled).map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    await expect(answers[1]).rejects.toThrow('KV miss: the slot was used again');
  });

  test('a lost device is said to everybody', async () => {
    const states = [ANN, BEA].map((person) => allocate(person));
    await trunk.warmUp([{ b: 2, g: 2, m: 8 }]);
    device.engine.lose();
    for (const { status, ...rest } of await Promise.allSettled(states.map((state) => append(state, rowsOf(8))))) {
      expect(status).toBe('rejected');
      expect(rest).toMatchObject({ reason: { kind: 'unavailable' } });
    }
  });
});

test('where the device has no memory for a run of all, fewer share one; for one alone it is said', async () => {
  const bytes = 34 * pageBytes(SHAPE);
  const { g, m } = trunk.buckets.encode({ b: 1, g: 2, m: 8 });
  // Rows, lengths, counts, pages, targets, and the hidden state.
  const of = (b: number) => b * (m * 5 * 4 + 8 + 8 + g * 8 + m * 8 + 4 * 4);
  device = toyDevice({ bytes: bytes + of(2) });
  trunk = await open();
  const states = [ANN, BEA, CAT, DAN].map((person) => allocate(person));
  const rows = states.map(() => rowsOf(8));
  const results = await Promise.all(states.map((state, i) => append(state, rows[i]!)));
  for (const [i, { hidden }] of results.entries()) expectNear(hidden, toyHidden(rows[i]!));
  expect(mostPeople()).toBe(2);
  const { reference } = results[0]!;
  await expect(trunk.rank({ ...slate(8, 2), kv: reference })).resolves.toBeDefined();
  device = toyDevice({ bytes: bytes + 64 });
  trunk = await open();
  await expect(append(allocate(ANN), rowsOf(8))).rejects.toMatchObject({
    kind: 'unavailable',
    message: 'the device has no memory for this run',
  });
});

test('sizes that there was no memory for are not tried for a while: each try would give back what others run with', async () => {
  let now = 0;
  const bytes = 34 * pageBytes(SHAPE);
  device = toyDevice({ bytes: bytes + 300 });
  trunk = await open({ now: () => now });
  const [small, large] = [allocate(ANN), allocate(BEA)];
  const pass = () => append(small, rowsOf(1), {}, 0);
  await pass();
  const tooLarge = () => append(large, rowsOf(13)).catch((error) => error.kind);
  expect(await tooLarge()).toBe('unavailable');
  expect(trunk.stats().prepared).toMatchObject({ kept: 0, dropped: 1 });
  await pass();
  expect(await tooLarge()).toBe('unavailable');
  expect(trunk.stats().prepared).toMatchObject({ kept: 1, dropped: 1 });
  for (const [wait, dropped] of [
    [1_000, 2],
    [1_000, 2],
    [1_000, 3],
  ] as const) {
    now += wait;
    await pass();
    expect(await tooLarge()).toBe('unavailable');
    expect(trunk.stats().prepared).toMatchObject({ dropped });
  }
});

test('forgetting who had the pages before, at any moment of an encode, takes nothing of what it writes', async () => {
  // So many turns of the microtask queue, from the ask to its answer.
  for (let turns = 0; turns < 40; turns++) {
    device = toyDevice();
    trunk = await open({ kv: { slots: 8, bytes: 6 * pageBytes(SHAPE), releaseId: 'r', poolId: 'p', restMs: 0 } });
    const before = await held(ANN, 15);
    trunk.kv.release(before.state);
    trunk.kv.retire(ANN);
    await trunk.warmUp([{ b: 1, g: 4, m: 16 }]);
    const state = allocate(BEA);
    const rows = rowsOf(14);
    const encoded = append(state, rows);
    for (let turn = 0; turn < turns; turn++) await null;
    const [{ reference }] = await Promise.all([encoded, trunk.kv.forget(ANN)]);
    const asked = slate(2);
    expectNear((await trunk.rank({ ...asked, kv: reference })).probabilities, toyProbabilities(rows, asked));
  }
});

test('KV that ends at any moment of an encode is a miss, and nothing stays held', async () => {
  for (let turns = 0; turns < 40; turns++) {
    device = toyDevice();
    trunk = await open();
    const states = [ANN, BEA].map((person) => allocate(person));
    const rows = states.map(() => rowsOf(8));
    const encoded = states.map((state, i) => append(state, rows[i]!));
    for (let turn = 0; turn < turns; turn++) await null;
    trunk.kv.retire(BEA);
    const [ann, bea] = await Promise.allSettled(encoded);
    expectNear((ann as PromiseFulfilledResult<EncodeResult>).value.hidden, toyHidden(rows[0]!));
    if (bea!.status === 'rejected') expect(bea).toMatchObject({ reason: { kind: 'kv_miss' } });
    for (const state of states) trunk.kv.release(state);
    await Promise.all([ANN, BEA].map((person) => trunk.kv.forget(person)));
    expect(trunk.kv.stats().persons).toBe(0);
  }
});

describe('asks that wait', () => {
  const busy = async () => {
    const { kv, rows } = await held(ANN, 8);
    await trunk.rank({ ...slate(8), kv });
    const release = hold(device);
    const running = trunk.rank({ ...slate(8), kv });
    await calm();
    return { kv, rows, release, running };
  };

  test('are left out once nobody waits for them; a run that nobody wants any of stops', async () => {
    const { kv, release, running } = await busy();
    const gone = new AbortController();
    const cancelled = trunk.rank({ ...slate(8), kv }, { signal: gone.signal });
    const stays = trunk.rank({ ...slate(8), kv });
    gone.abort();
    await expect(cancelled).rejects.toMatchObject({ kind: 'cancelled' });
    expect(trunk.stats().waiting).toEqual({ encode: 0, rank: 1 });
    release();
    await Promise.all([running, stays]);
    await calm();
    expect(trunk.stats().asked).toBe(4);
    const state = allocate(BEA);
    const hang = hold(device);
    const leaving = new AbortController();
    const left = append(state, rowsOf(4), { signal: leaving.signal });
    await calm();
    leaving.abort(new OnepassError({ kind: 'deadline_exceeded' }, 'too late'));
    let isSettled = false;
    const settled = left
      .catch(() => {})
      .then(() => {
        isSettled = true;
      });
    await calm();
    // The device still works on their pages.
    expect(isSettled).toBe(false);
    hang();
    await settled;
    await expect(left).rejects.toMatchObject({ kind: 'deadline_exceeded' });
    expect(state.length).toBe(0);
    expect(trunk.kv.lookup(BEA)).toBeUndefined();
    trunk.kv.release(state);
    await expect(trunk.rank({ ...slate(1), kv }, { signal: leaving.signal })).rejects.toMatchObject({
      kind: 'deadline_exceeded',
    });
  });

  test('who wants what somebody who leaves wanted too is answered, whenever they come', async () => {
    // Waiting: the other has left in this very turn.
    const { release, running } = await busy();
    const state = allocate(BEA);
    const rows = rowsOf(4);
    const same = { state, from: 0, rows, tokens: 4, sequence: 4, hash: 4n };
    const gone = new AbortController();
    const left = trunk.encode(same, { signal: gone.signal });
    gone.abort();
    const stays = trunk.encode(same);
    await expect(left).rejects.toMatchObject({ kind: 'cancelled' });
    release();
    await running;
    expectNear((await stays).hidden, toyHidden(rows));
    // Under way: the run was stopped, since nobody wanted it.
    for (const isStopped of [true, false]) {
      const hang = hold(device);
      const next = rowsOf(1);
      const more = { ...same, from: state.length, rows: next, tokens: 1, sequence: state.length + 1 };
      const leaving = new AbortController();
      const first = trunk.encode(more, { signal: leaving.signal });
      await calm();
      if (isStopped)
        device.sabotage = () => {
          device.sabotage = undefined;
          throw new OnepassError({ kind: 'cancelled' }, 'the caller went away');
        };
      leaving.abort();
      const second = trunk.encode(more);
      hang();
      await expect(first).rejects.toMatchObject({ kind: 'cancelled' });
      expect((await second).reference.length).toBe(more.from + 1);
    }
  });

  test('two who want the same: at any moment of the run both are answered', async () => {
    for (let turns = 0; turns < 40; turns++) {
      device = toyDevice();
      trunk = await open();
      const state = allocate(ANN);
      const same = { state, from: 0, rows: rowsOf(4), tokens: 4, sequence: 4, hash: 4n };
      const one = trunk.encode(same);
      for (let turn = 0; turn < turns; turn++) await null;
      const [, two] = await Promise.allSettled([one, trunk.encode(same)]);
      if (two.status === 'rejected') expect(two.reason).toMatchObject({ kind: 'kv_miss' });
    }
  });

  test('who wants what waits already waits no longer than they would alone', async () => {
    let now = 1_000;
    trunk = await open({ epochNow: () => now });
    const { kv, release, running } = await busy();
    const order: string[] = [];
    const state = allocate(BEA);
    const same = { state, from: 0, rows: rowsOf(4), tokens: 4, sequence: 4, hash: 4n };
    const hurried = trunk.encode(same, { priority: 'prefetch', deadlineMs: now + 10 });
    const low = trunk.rank({ ...slate(8), kv }, { priority: 'batch' }).then(() => order.push('rank'));
    const patient = trunk.encode(same).then(() => order.push('encode'));
    now += 10;
    release();
    await Promise.all([running, low, patient, hurried]);
    expect(order).toEqual(['encode', 'rank']);
  });

  test('that leave before their run begins wrote nothing: nothing is zeroed, which would stop all lanes', async () => {
    let prepared = () => {};
    const ready = new Promise<void>((resolve) => {
      prepared = resolve;
    });
    const gone = new AbortController();
    device.gate = ready;
    let cleared = 0;
    const clear = device.engine.clear.bind(device.engine);
    device.engine.clear = (parts) => {
      cleared++;
      return clear(parts);
    };
    const state = allocate(ANN);
    // Its run is being prepared.
    const left = append(state, rowsOf(4), { signal: gone.signal });
    await calm();
    gone.abort();
    prepared();
    await expect(left).rejects.toMatchObject({ kind: 'cancelled' });
    expect(cleared).toBe(0);
    const rows = rowsOf(5);
    expectNear((await append(state, rows)).hidden, toyHidden(rows));
  });

  test('are refused at once where they would be done too late, or too many wait; time that runs out is said', async () => {
    let now = 1_000;
    trunk = await open({ maxQueued: 2, epochNow: () => now });
    const { kv, release, running } = await busy();
    await expect(trunk.rank({ ...slate(8), kv }, { deadlineMs: now })).rejects.toMatchObject({
      kind: 'overloaded',
      message: expect.stringMatching(/0 asks wait for the trunk: done in \d+ ms, asked for in 0 ms/),
    });
    const low = { priority: 'batch' } as const;
    const first = trunk.rank({ ...slate(8), kv }, { ...low, deadlineMs: now + 60_000 });
    const displaced = expect(trunk.rank({ ...slate(8), kv }, low)).rejects.toThrow('no more may');
    await expect(trunk.rank({ ...slate(8), kv }, low)).rejects.toThrow('2 asks wait for the trunk, no more may');
    const higher = trunk.rank({ ...slate(8), kv });
    await displaced;
    release();
    await Promise.all([running, higher, first]);
    await calm();
    const again = hold(device);
    const second = trunk.rank({ ...slate(8), kv });
    await calm();
    const expired = trunk.rank({ ...slate(8), kv }, { deadlineMs: now + 60_000 });
    now += 60_000;
    again();
    await second;
    await expect(expired).rejects.toMatchObject({ kind: 'overloaded', message: 'its time ran out while it waited' });
  });

  test('of a higher priority go first', async () => {
    const { kv, release, running } = await busy();
    const order: string[] = [];
    const people = [kv];
    const low = trunk.rank({ ...slate(8), kv: people[0]! }, { priority: 'batch' }).then(() => order.push('batch'));
    const state = allocate(BEA);
    const high = append(state, rowsOf(8)).then(() => order.push('interactive'));
    release();
    await Promise.all([running, low, high]);
    expect(order).toEqual(['interactive', 'batch']);
  });
});

test('runs are prepared once for a bucket, and a larger one that is ready serves where it is little padding', async () => {
  await trunk.warmUp([
    { b: 1, g: 4, m: 16 },
    { b: 1, s: 1, g: 4, c: 2, k: 8 },
  ]);
  expect(trunk.stats().prepared).toMatchObject({ kept: 2, made: 2 });
  const { kv } = await held(ANN, 14);
  await trunk.rank({ ...slate(8, 2), kv });
  await trunk.rank({ ...slate(7, 2), kv });
  expect(trunk.stats().prepared).toMatchObject({ kept: 2, made: 2, dropped: 0 });
  await trunk.rank({ ...slate(1), kv });
  expect(trunk.stats().padding).toBeLessThan(0.5);
});

test('closing waits for what is under way and waits, and gives everything back', async () => {
  const free = toyDevice({ bytes: 1e6 });
  device = free;
  trunk = await open();
  const before = 1e6;
  const { kv } = await held(ANN, 4);
  const last = trunk.rank({ ...slate(2), kv });
  const closed = trunk.close();
  await last;
  await closed;
  await expect(trunk.rank({ ...slate(2), kv })).rejects.toThrow('the trunk is closing');
  expect(free.engine.memory().freeBytes).toBe(before);
});
