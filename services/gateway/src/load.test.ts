import { type CallPriority, Priority } from '@onepass/contracts';
import { OnepassError } from '@onepass/errors';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Mesh, startMesh, user } from './testing/mesh.js';

let mesh: Mesh;
beforeEach(async () => {
  mesh = await startMesh();
});
afterEach(async () => {
  await mesh.stop();
});

const measured = async (name: string) => {
  const { measurements } = await mesh.recommendation.describe({});
  const values = Object.entries(measurements).filter(([key]) => key.startsWith(name));
  return values.reduce((sum, [, value]) => sum + value, 0);
};
const IN_FLIGHT = 'onepass.admission.in_flight{onepass.admission.group="pages"}';
const WAITING = 'onepass.admission.waiting{onepass.admission.group="pages"';

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setImmediate(resolve));
}

const home = (more: object = {}, signal?: AbortSignal) =>
  mesh.recommendation.recommend({ surface: 'home', pageSize: 1, ...more }, signal && { signal });

/** Holds every encode until opened. */
function holdEncodes(): () => void {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  mesh.encoder.before = () => opened;
  return open;
}

test('a flood is refused beyond what may be in flight and wait; actions are taken all the same, and who has gone does not begin', async () => {
  const open = holdEncodes();
  const gone = new AbortController();
  const stay = Array.from({ length: 32 + 8 }, () => home());
  await until(async () => (await measured(WAITING)) === 8);
  const leave = Array.from({ length: 8 }, () => home({}, gone.signal).catch((error) => OnepassError.from(error).kind));
  await until(async () => (await measured(WAITING)) === 16);
  const more = Array.from({ length: 100 }, () => home().then(() => 'made', OnepassError.from));
  await until(async () => (await measured('onepass.admission.refusals{')) > 0);
  gone.abort(new OnepassError({ kind: 'cancelled' }, 'gone'));
  expect(new Set(await Promise.all(leave))).toEqual(new Set(['cancelled']));
  const event = { eventId: 'e1', itemId: 'item-001', actions: ['click'], surface: 'home', timeMs: BigInt(Date.now()) };
  const written = await mesh.events.logActions({ person: user('anna'), events: [event] });
  expect(written.historySequence).toBe(1n);
  expect(mesh.encoder.requests).toHaveLength(32);
  open();
  await Promise.all(stay);
  const ends = await Promise.all(more);
  const refusals = ends.filter((end) => end !== 'made');
  expect(refusals.length).toBeGreaterThan(30);
  for (const refusal of refusals) expect(refusal).toMatchObject({ kind: 'overloaded', message: 'too many calls wait' });
  expect((refusals[0] as { detail: { retryAfterMs: number } }).detail.retryAfterMs).toBeGreaterThan(0);
  // Those that went while they waited cost no stage anything.
  expect(mesh.encoder.requests).toHaveLength(stay.length + ends.length - refusals.length);
  expect([await measured(IN_FLIGHT), await measured(WAITING)]).toEqual([0, 0]);
});

test('what lower priorities ask for is refused earlier, and the priority reaches every stage', async () => {
  const seen: CallPriority[] = [];
  for (const stage of [mesh.encoder, mesh.retrieval, mesh.ranking]) {
    stage.before = (_: unknown, { priority }: { priority: CallPriority }) => void seen.push(priority);
  }
  await home({ priority: Priority.BATCH });
  expect(seen).toEqual(['batch', 'batch', 'batch']);
  const open = holdEncodes();
  const running = Array.from({ length: 32 }, () => home());
  await until(async () => (await measured(IN_FLIGHT)) === 32);
  const settled = async () => (await measured('onepass.admission.refusals{')) + (await measured(WAITING));
  const offer = async (priority: Priority, sum: number) => {
    const calls = Array.from({ length: 60 }, () =>
      home({ priority }).then(
        () => 'made',
        () => 'refused',
      ),
    );
    await until(async () => (await settled()) >= sum);
    return calls;
  };
  const batch = await offer(Priority.BATCH, 60);
  const interactive = await offer(Priority.INTERACTIVE, 120);
  open();
  const made = async (calls: readonly Promise<string>[]) =>
    (await Promise.all(calls)).filter((end) => end === 'made').length;
  expect(await made(batch)).toBeLessThan(0.5 * (await made(interactive)));
  await Promise.all(running);
});

test('a caller that goes takes its stage calls along', async () => {
  const signals: AbortSignal[] = [];
  mesh.encoder.before = async (_, call) => {
    signals.push(call.signal);
    await new Promise((resolve) => call.signal.addEventListener('abort', resolve, { once: true }));
    throw call.signal.reason;
  };
  const gone = new AbortController();
  const page = home({}, gone.signal);
  await until(async () => signals.length === 1);
  gone.abort();
  await expect(page).rejects.toMatchObject({ kind: 'cancelled' });
  await until(async () => signals[0]!.aborted);
  expect(mesh.retrieval.requests).toHaveLength(0);
  await until(async () => (await measured(IN_FLIGHT)) === 0);
});

test('a stage that cannot be reached is tried again within the budget, and no more', async () => {
  await mesh.encoder.stop();
  for (let page = 0; page < 20; page += 1) await home();
  const retries = (outcome: string) =>
    measured(`onepass.retries{onepass.stage="encode",onepass.retry.outcome="${outcome}"`);
  const [granted, denied] = [await retries('granted'), await retries('denied')];
  expect(granted + denied).toBe(20);
  expect(granted).toBeGreaterThanOrEqual(3);
  expect(denied).toBeGreaterThan(0);
});
