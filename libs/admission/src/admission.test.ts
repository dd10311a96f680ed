import { OnepassError } from '@onepass/errors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Admission, type AdmissionOptions, admitted, type Refusal, type Ticket } from './admission.js';
import { PRIORITIES, type Priority } from './priority.js';
import { simulate, TWO_CORES } from './simulated-mesh.suite.js';

const fixed = (limit: number, more: Partial<AdmissionOptions> = {}): AdmissionOptions => ({
  limit: { initial: limit, minimum: limit, maximum: limit, targetMs: 10 },
  maxWaiting: 8,
  patienceMs: 1_000,
  ...more,
});
const ADAPTIVE: AdmissionOptions = {
  limit: { initial: 32, minimum: 4, maximum: 256, targetMs: 60 },
  maxWaiting: 256,
  patienceMs: 60,
};

/** An admission on a clock that stands still unless moved, and what it did with each call by name. */
function desk(options: AdmissionOptions) {
  const clock = { now: 0 };
  const refused: [Refusal, Priority][] = [];
  const began: string[] = [];
  const dropped: string[] = [];
  const tickets = new Map<string, Ticket>();
  const admission = new Admission(options, () => clock.now, {
    refused: (why, priority) => refused.push([why, priority]),
    waited: () => {},
  });
  const apply = (name: string, priority: Priority = 'interactive', deadlineMs = Number.POSITIVE_INFINITY) =>
    admission.apply({
      priority,
      deadlineMs,
      begin: (ticket) => {
        began.push(name);
        tickets.set(name, ticket);
      },
      drop: () => dropped.push(name),
    });
  const finish = (name: string) => tickets.get(name)!.finish('whole');
  return { admission, clock, refused, began, dropped, apply, finish };
}

test('higher priorities first, the oldest of a priority first, and who has gone does not begin', () => {
  const { apply, began, finish } = desk(fixed(1));
  apply('first');
  apply('b', 'batch');
  apply('p1', 'prefetch');
  const withdraw = apply('i0');
  apply('p2', 'prefetch');
  apply('i1');
  withdraw();
  for (const name of ['first', 'i1', 'p1', 'p2']) finish(name);
  expect(began).toEqual(['first', 'i1', 'p1', 'p2', 'b']);
});

test('a call that would not be done by its deadline is refused at once, with when to try again', () => {
  const { apply, refused } = desk(fixed(2));
  // Each takes 10 ms, 15 at most.
  apply('a');
  apply('b');
  apply('c', 'interactive', 30);
  // Its turn comes in 10 ms.
  expect(() => apply('d', 'interactive', 24)).toThrow(
    expect.objectContaining({ detail: { kind: 'overloaded', retryAfterMs: 10 } }),
  );
  expect(refused).toEqual([['late', 'interactive']]);
  expect(() => apply('e', 'interactive', 0)).toThrow(expect.objectContaining({ kind: 'deadline_exceeded' }));
});

test('a clock that is set back says nothing of how long a call takes', () => {
  const { apply, clock, finish } = desk(fixed(1));
  clock.now = 10_000;
  apply('a');
  clock.now = 0;
  finish('a');
  apply('b');
  // A call takes 10 ms still.
  expect(() => apply('c', 'interactive', 20)).toThrow(
    expect.objectContaining({ detail: { kind: 'overloaded', retryAfterMs: 10 } }),
  );
});

test('work whose time ran out while it waited never begins', () => {
  const { apply, clock, finish, began, dropped, refused } = desk(fixed(1));
  apply('a');
  apply('b', 'interactive', 40);
  apply('c', 'interactive', 80);
  clock.now = 35;
  finish('a');
  expect([began, dropped]).toEqual([['a', 'c'], ['b']]);
  expect(refused).toEqual([['expired', 'interactive']]);
});

test('a full line gives a place to a higher priority by taking the newest of the lowest', () => {
  const { apply, dropped, refused } = desk(fixed(1, { maxWaiting: 3 }));
  apply('running');
  apply('b1', 'batch');
  apply('b2', 'batch');
  apply('p1', 'prefetch');
  apply('i1');
  expect(dropped).toEqual(['b2']);
  expect(() => apply('b3', 'batch')).toThrow('too many calls wait');
  expect(refused).toEqual([
    ['displaced', 'batch'],
    ['full', 'batch'],
  ]);
});

test('lower priorities are refused earlier', () => {
  const { apply } = desk(fixed(1, { maxWaiting: 100, patienceMs: 100 }));
  apply('running');
  const taken = (priority: Priority) => {
    for (let count = 0; ; count += 1) {
      try {
        apply(`${priority}${count}`, priority);
      } catch {
        return count;
      }
    }
  };
  // 10 ms a turn: 25, 50 and 100 ms of patience.
  expect(taken('batch')).toBe(2);
  expect(taken('prefetch')).toBe(5);
  expect(taken('interactive')).toBe(10);
});

type Step = { readonly kind: 'apply' | 'finish' | 'withdraw'; readonly pick: number; readonly ms: number };

test('whatever happens, calls are conserved: admitted = finished + running, and nothing is ever negative', () => {
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('apply', 'apply', 'finish', 'withdraw'),
    pick: fc.nat(1_000),
    ms: fc.nat(40),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 300 }), (limit, steps) => {
      const options = { ...ADAPTIVE, maxWaiting: 6, limit: { initial: limit, minimum: 1, maximum: 8, targetMs: 20 } };
      const clock = { now: 0 };
      const admission = new Admission(options, () => clock.now);
      const counts = { applied: 0, refused: 0, dropped: 0, withdrawn: 0, finished: 0 };
      const running: Ticket[] = [];
      const waiting = new Map<number, () => void>();
      for (const [id, { kind, pick, ms }] of steps.entries()) {
        clock.now += ms;
        if (kind === 'apply') {
          counts.applied += 1;
          let settled = false;
          try {
            const withdraw = admission.apply({
              priority: PRIORITIES[pick % 3]!,
              deadlineMs: pick % 5 === 0 ? Number.POSITIVE_INFINITY : clock.now + pick + 1,
              begin: (ticket) => {
                settled = true;
                waiting.delete(id);
                running.push(ticket);
              },
              drop: () => {
                settled = true;
                counts.dropped += 1;
                waiting.delete(id);
              },
            });
            if (!settled) waiting.set(id, withdraw);
          } catch {
            counts.refused += 1;
          }
        } else if (kind === 'finish' && running.length > 0) {
          counts.finished += 1;
          const [ticket] = running.splice(pick % running.length, 1);
          ticket!.finish((['whole', 'late', undefined] as const)[pick % 3]);
          ticket!.finish('whole');
        } else if (kind === 'withdraw' && waiting.size > 0) {
          const [victim, withdraw] = [...waiting][pick % waiting.size]!;
          waiting.delete(victim);
          withdraw();
          withdraw();
          counts.withdrawn += 1;
        }
        const line = PRIORITIES.reduce((sum, priority) => sum + admission.waiting(priority), 0);
        expect([admission.inFlight, line]).toEqual([running.length, waiting.size]);
        expect(line).toBeLessThanOrEqual(options.maxWaiting);
        expect(admission.limit).toBeGreaterThanOrEqual(1);
        // Work-conserving: nobody waits while there is room.
        if (line > 0)
          expect(admission.inFlight).toBeGreaterThanOrEqual(Math.min(admission.limit, admission.inFlight + 1));
      }
      const { applied, refused, dropped, withdrawn, finished } = counts;
      expect(applied).toBe(refused + dropped + withdrawn + finished + running.length + waiting.size);
    }),
    { seed: 1, numRuns: 300 },
  );
});

describe('in the model of a mesh on two cores', () => {
  const offer = (rate: number) => simulate(TWO_CORES, ADAPTIVE, [{ rate, seconds: 20 }]).interactive;
  const peak = [100, 120, 130, 143, 160].map(offer).reduce((best, seen) => (seen.goodput > best.goodput ? seen : best));
  const flood = offer(3 * peak.goodput);

  test('at three times its peak it makes nearly as many whole pages, and makes them in time', () => {
    expect(flood.goodput).toBeGreaterThanOrEqual(0.9 * peak.goodput);
    expect(flood.p99Ms).toBeLessThanOrEqual(2 * peak.p99Ms);
    expect(flood.late).toBeLessThan(1);
  });

  test('what is refused is refused at once, not after a wait', () => {
    expect(flood.refused).toBeGreaterThan(peak.goodput);
    expect(flood.refusedLate).toBeLessThan(0.01);
  });

  test('a slower machine gets a lower limit, a larger one a higher', () => {
    const limit = (cores: number, workMs: number) =>
      simulate({ ...TWO_CORES, cores, workMs, contention: 0 }, ADAPTIVE, [
        { rate: (1500 * cores) / workMs, seconds: 20 },
      ]).interactive.finalLimit;
    expect(limit(2, 40)).toBeLessThan(limit(2, 10));
    expect(limit(16, 10)).toBeGreaterThan(2 * limit(2, 10));
  });

  test('no priority starves, and interactive calls come first', () => {
    const seen = simulate(TWO_CORES, ADAPTIVE, [
      { rate: 400, seconds: 20 },
      { rate: 60, seconds: 20, priority: 'prefetch' },
      { rate: 60, seconds: 20, priority: 'batch' },
    ]);
    expect(seen.interactive.goodput).toBeGreaterThan(0.8 * peak.goodput);
    expect(seen.prefetch.goodput).toBeGreaterThan(0.03 * peak.goodput);
    expect(seen.batch.goodput).toBeGreaterThan(0.03 * peak.goodput);
  });
});

describe('admitted', () => {
  const terms = (signal: AbortSignal) =>
    ({ priority: 'interactive', deadlineMs: Number.POSITIVE_INFINITY, caller: { signal } }) as const;

  test('gives the result, and the place back whether the work went well or not', async () => {
    const admission = new Admission(fixed(1), () => 0);
    const { signal } = new AbortController();
    expect(await admitted(admission, terms(signal), async () => ['done', 'whole'] as const)).toBe('done');
    const failing = admitted(admission, terms(signal), () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(admission.inFlight).toBe(0);
  });

  test('a caller that goes while it waits is let go at once, with its reason, and its work never begins', async () => {
    const admission = new Admission(fixed(1), () => 0);
    const [stays, goes] = [new AbortController(), new AbortController()];
    let finish = () => {};
    const running = admitted(
      admission,
      terms(stays.signal),
      () => new Promise<readonly [string, undefined]>((resolve) => (finish = () => resolve(['ran', undefined]))),
    );
    let began = 0;
    const waiting = admitted(admission, terms(goes.signal), async () => [began++, undefined] as const);
    const reason = new OnepassError({ kind: 'cancelled' }, 'the caller has gone');
    goes.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(admitted(admission, terms(goes.signal), async () => [began++, undefined] as const)).rejects.toBe(
      reason,
    );
    finish();
    expect(await running).toBe('ran');
    expect([began, admission.inFlight, admission.waiting('interactive')]).toEqual([0, 0, 0]);
  });
});
