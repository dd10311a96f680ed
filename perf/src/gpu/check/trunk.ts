import { randomUUID } from 'node:crypto';
import { DeviceTrunk, USUAL_BUCKETS } from '@onepass/device-trunk';
import { OnepassError } from '@onepass/errors';
import type { KvReference } from '@onepass/kv';
import { madeUpNumbers } from '../made-up.js';
import { kvBytesOf } from '../soak.js';
import { usualAttention } from './cases.js';
import { type CheckOutcome, judged } from './check.js';
import type { CheckDesk } from './desk.js';
import { Differences } from './same.js';

/** Somebody with a past, and what they are asked about. */
interface Visitor {
  readonly key: string;
  readonly rows: Float32Array;
  readonly tokens: number;
  readonly slate: Parameters<DeviceTrunk['rank']>[0] extends infer A ? Omit<A & object, 'kv'> : never;
}

const REST_MS = 1;

/** People of all lengths at one time, their pasts in pieces, beside each of them alone with the whole past at once. */
export async function togetherAsAlone(desk: CheckDesk): Promise<CheckOutcome> {
  const { shape } = desk.terms;
  const found = new Differences(shape.dtype);
  const people = await visitorsOf(desk);
  const alone = await onTrunk(desk, async (trunk) => {
    const all: Float32Array[] = [];
    for (const visitor of people) all.push(await rank(trunk, visitor, await encode(trunk, visitor, 1)));
    return all;
  });
  let shared = 0;
  const together = await onTrunk(desk, async (trunk) => {
    const references = await Promise.all(people.map((visitor) => encode(trunk, visitor, 3)));
    const ranked = await Promise.all(people.map((visitor, i) => rank(trunk, visitor, references[i]!)));
    const { runs, asked } = trunk.stats();
    shared = asked / runs;
    return ranked;
  });
  for (const [i, { tokens }] of people.entries())
    found.see(`probabilities of somebody with ${tokens} tokens among others`, alone[i]!, together[i]!);
  return judged(found.complaints, `${people.length} people, ${shared.toFixed(1)} to a run: ${found.says}`, {
    off: found.worst,
  });
}

/** Somebody whose rows, and somebody whose candidates are no numbers, among others: they alone are told. */
export async function badAlone(desk: CheckDesk): Promise<CheckOutcome> {
  const found = new Differences(desk.terms.shape.dtype);
  const people = await visitorsOf(desk);
  const [first, ...others] = people as [Visitor, ...Visitor[]];
  const ofNaN: Visitor = { ...first, key: keyOf(99), rows: first.rows.map(() => Number.NaN) };
  return onTrunk(desk, async (trunk) => {
    const references = await Promise.all(others.map((visitor) => encode(trunk, visitor, 1)));
    const all = () => Promise.all(others.map((visitor, i) => rank(trunk, visitor, references[i]!)));
    const before = await all();
    const candidates = others[0]!.slate.candidates.map(() => Number.NaN);
    const badSlate = { ...others[0]!, slate: { ...others[0]!.slate, candidates } };
    const [told, slate, beside] = await Promise.all([
      outcomeOf(encode(trunk, ofNaN, 1)),
      outcomeOf(rank(trunk, badSlate, references[0]!)),
      // The first may have lost its KV with the bad slate: that is its own.
      Promise.allSettled(others.map((visitor, i) => rank(trunk, visitor, references[i]!))),
    ]);
    if (told === 'answered') found.complaints.push('a past of no numbers was encoded as if it were one');
    if (slate === 'answered') found.complaints.push('candidates of no numbers were given probabilities');
    for (const [i, one] of beside.entries()) {
      if (one.status === 'fulfilled') found.see('probabilities of others beside the bad one', before[i]!, one.value);
      else if (i > 0)
        found.complaints.push(`somebody beside the bad one was refused: ${OnepassError.from(one.reason).message}`);
    }
    return judged(found.complaints, `others beside it: ${found.says}`);
  });
}

/** `refused`, or what it answered is no number anywhere. */
async function outcomeOf(asked: Promise<unknown>): Promise<'refused' | 'no numbers' | 'answered'> {
  return asked.then(
    (answer) => (answer instanceof Float32Array && answer.every(Number.isNaN) ? 'no numbers' : 'answered'),
    () => 'refused',
  );
}

async function visitorsOf(desk: CheckDesk): Promise<Visitor[]> {
  const { columns, embedding, pageTokens, window } = await desk.model();
  const { k } = desk.terms.shape;
  const scale = Math.sqrt(3 / embedding);
  let part = 10;
  const numbers = (count: number) => madeUpNumbers(count, 1, part++, scale);
  const lengths = new Set([1, pageTokens, pageTokens + 1, Math.ceil(window / 2), window].filter((n) => n <= window));
  return [...lengths].map((tokens, i) => {
    const candidateCount = Math.max(1, k - i);
    return {
      ...{ key: keyOf(i), tokens, rows: numbers(tokens * columns) },
      slate: {
        ...{
          context: numbers(columns),
          contextRows: 1,
          candidates: numbers(candidateCount * embedding),
          candidateCount,
        },
        candidateRow: numbers(columns - embedding),
      },
    };
  });
}

const keyOf = (i: number) => i.toString(16).padStart(32, '0');

async function onTrunk<T>(desk: CheckDesk, use: (trunk: DeviceTrunk) => Promise<T>): Promise<T> {
  const graphs = await desk.graphs();
  const attention = usualAttention(graphs.description);
  const prefill = graphs.description.graphs.prefill?.[attention] === undefined ? {} : { prefill: attention };
  const { k, batch } = desk.terms.shape;
  const trunk = await DeviceTrunk.open({
    ...{
      engine: await desk.engine(),
      model: graphs.description,
      attention: { encode: attention, rank: attention, ...prefill },
    },
    candidates: k,
    kv: { slots: 16, bytes: kvBytesOf(graphs, 8), releaseId: 'made-up', poolId: randomUUID(), restMs: REST_MS },
    buckets: { ...USUAL_BUCKETS, people: batch, slates: batch },
    prepared: { most: 64, bytes: 2 ** 32 },
    maxQueued: 64,
  });
  try {
    return await use(trunk);
  } finally {
    await trunk.close();
  }
}

/** The whole past, in so many pieces. */
async function encode(trunk: DeviceTrunk, { key, rows, tokens }: Visitor, pieces: number): Promise<KvReference> {
  const { kv } = trunk;
  const found = kv.allocate(key, tokens);
  if (typeof found === 'string') throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, found);
  try {
    const refusal = kv.grow(found, tokens);
    if (refusal !== undefined) throw new OnepassError({ kind: 'overloaded', retryAfterMs: 1 }, refusal);
    const columns = rows.length / tokens;
    let reference: KvReference | undefined;
    for (let from = 0; from < tokens; ) {
      const to = Math.min(tokens, from + Math.ceil(tokens / pieces));
      const piece = rows.subarray(from * columns, to * columns);
      const ask = { state: found, from, rows: piece, tokens: to - from, sequence: to, hash: 1n };
      reference = (await trunk.encode(ask)).reference;
      from = to;
    }
    return reference!;
  } finally {
    kv.release(found);
  }
}

async function rank(trunk: DeviceTrunk, { slate }: Visitor, kv: KvReference): Promise<Float32Array> {
  return (await trunk.rank({ ...slate, kv })).probabilities;
}
