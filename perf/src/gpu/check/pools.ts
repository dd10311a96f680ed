import type { DeviceBuffer, DeviceEngine } from '@onepass/inference';
import { type BedCase, TrunkBed } from '../bed.js';
import { PAGE } from '../bench-cases.js';
import type { GpuCase } from '../gpu-case.js';
import { usualAttention, withCases } from './cases.js';
import { type CheckOutcome, failed, judged, leftOut, ok } from './check.js';
import type { CheckDesk } from './desk.js';

/** A pool far larger than anything that an append of one row works in. */
const POOL_BYTES = 32 << 20;
const SMOKE_POOL_BYTES = 1 << 16;

/** Two people at least, and pages of nobody. */
function wideBed(desk: CheckDesk): Promise<TrunkBed> {
  return desk.once('wide bed', async () => {
    const { shape, smoke } = desk.terms;
    const graphs = await desk.graphs();
    const { pageTokens, width, dtype } = graphs.description;
    const sparePages = Math.ceil(
      (smoke ? SMOKE_POOL_BYTES : POOL_BYTES) / (pageTokens * width * (dtype === 'float16' ? 2 : 4)),
    );
    return TrunkBed.open(await desk.engine(), graphs, {
      ...shape,
      ...PAGE,
      batch: Math.max(2, shape.batch),
      sparePages,
    });
  });
}

async function appendOf(desk: CheckDesk, rows: number, by?: string): Promise<GpuCase> {
  const attention = by ?? usualAttention(await desk.model());
  return { system: 'onepass', timed: 'append', batch: 1, rows, attention, captured: desk.onCuda };
}

/** An append writes its own rows, and no other byte of any pool. */
export async function writtenInPlace(desk: CheckDesk, attention: string): Promise<CheckOutcome> {
  const [engine, bed, append] = [await desk.engine(), await wideBed(desk), await appendOf(desk, 1, attention)];
  return withCases(bed, [append], async (ready) => {
    await cover(engine, bed);
    await ready[0]!.outputs();
    return judged(
      await strayWrites(engine, bed, ready),
      `one row in each of ${bed.pools.size} pools of ${mib(bed.poolBytes)}`,
    );
  });
}

/** Two appends to the same pools at one time, in two lanes: each writes what it writes alone. */
export async function writtenByTwo(desk: CheckDesk): Promise<CheckOutcome> {
  const [engine, bed] = [await desk.engine(), await wideBed(desk)];
  const append = await appendOf(desk, Math.min(8, desk.terms.shape.n - 1));
  const turns = desk.terms.smoke ? 5 : 50;
  return withCases(bed, [append], ([one]) =>
    withCases(
      bed,
      [append],
      async ([other]) => {
        const both = [one!, other!];
        await cover(engine, bed);
        for (const alone of both) await alone.outputs();
        const wanted = await rowsOf(engine, bed, both);
        await cover(engine, bed);
        for (let turn = 0; turn < turns; turn++) await Promise.all(both.map((some) => some.outputs()));
        const complaints = await strayWrites(engine, bed, both);
        const found = await rowsOf(engine, bed, both);
        if (wanted.some((rows, i) => Buffer.compare(rows, found[i]!) !== 0))
          complaints.push('two appends at one time write other numbers than one after the other');
        return judged(complaints, `${turns} pairs of appends`);
      },
      1,
    ),
  );
}

/** What preparing and running an append takes beside what it is bound to is far less than a pool. */
export async function noCopyOfPools(desk: CheckDesk): Promise<CheckOutcome> {
  if (!desk.onCuda) return leftOut("a CPU's memory is everybody's");
  const [engine, bed] = [await desk.engine(), await wideBed(desk)];
  // The first finds handles and workspaces to be made.
  return withCases(bed, [await appendOf(desk, 1)], async (first) => {
    await first[0]!.outputs();
    const before = engine.memory().freeBytes;
    return withCases(bed, [await appendOf(desk, 2)], async ([second]) => {
      await second!.outputs();
      const takenBytes = before - engine.memory().freeBytes;
      const says = `${mib(takenBytes)} taken by an append to pools of ${mib(bed.poolBytes)} each`;
      return takenBytes < bed.poolBytes
        ? ok(says, { takenBytes })
        : failed(`${says}: one of them is copied`, { takenBytes });
    });
  });
}

/** Of a length that no row's divides, so that rows differ; as halves and as floats, every number is small and finite. */
const TILE = Buffer.from(Uint16Array.from({ length: 997 }, (_, i) => 0x2400 + i).buffer);

/** What pools hold before. */
const patternOf = (bytes: number): Buffer => Buffer.alloc(bytes, TILE);

/** All pools with the pattern, but the page of zeros. */
async function cover(engine: DeviceEngine, bed: TrunkBed): Promise<void> {
  const pattern = patternOf(bed.poolBytes).fill(0, 0, bed.pageBytes);
  for (const pool of bed.pools.values())
    await engine.write(pool, 0, new Int8Array(pattern.buffer, pattern.byteOffset, pattern.length));
}

/** Sentences on pools where other rows than the cases' own were written, or their own were not. */
async function strayWrites(engine: DeviceEngine, bed: TrunkBed, cases: readonly BedCase[]): Promise<string[]> {
  const complaints: string[] = [];
  const pattern = patternOf(bed.poolBytes).fill(0, 0, bed.pageBytes);
  const rowBytes = bed.pageBytes / bed.pageTokens;
  const own = new Set(cases.flatMap(({ writes }) => writes));
  for (const [name, pool] of bed.pools) {
    const seen = await bytesOf(engine, pool);
    for (const row of own) {
      const [from, to] = [row * rowBytes, (row + 1) * rowBytes];
      if (seen.compare(pattern, from, to, from, to) === 0) complaints.push(`row ${row} of ${name} was not written`);
      pattern.copy(seen, from, from, to);
    }
    if (seen.equals(pattern)) continue;
    const at = seen.findIndex((byte, i) => byte !== pattern[i]);
    complaints.push(`row ${Math.floor(at / rowBytes)} of ${name} was written, which is nobody's target`);
  }
  return complaints.slice(0, MOST_COMPLAINTS);
}

const MOST_COMPLAINTS = 3;

/** What the cases write, pool by pool. */
async function rowsOf(engine: DeviceEngine, bed: TrunkBed, cases: readonly BedCase[]): Promise<Buffer[]> {
  const rowBytes = bed.pageBytes / bed.pageTokens;
  const rows: Buffer[] = [];
  for (const pool of bed.pools.values()) {
    const seen = await bytesOf(engine, pool);
    for (const row of cases.flatMap(({ writes }) => writes))
      rows.push(Buffer.from(seen.subarray(row * rowBytes, (row + 1) * rowBytes)));
  }
  return rows;
}

async function bytesOf(engine: DeviceEngine, pool: DeviceBuffer): Promise<Buffer> {
  const bytes = new Int8Array(pool.bytes);
  await engine.read(pool, 0, bytes);
  return Buffer.from(bytes.buffer);
}

const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
