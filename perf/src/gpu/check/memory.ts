import type { DeviceEngine } from '@onepass/inference';
import { passesOf, usualAttention, withCases } from './cases.js';
import { type CheckOutcome, judged } from './check.js';
import { type CheckDesk, LANES } from './desk.js';

const RUNS = 1_000;
const SMOKE_RUNS = 100;
/** Before memory is looked at first. */
const WARM_RUNS = 200;
/** A driver's own bookkeeping. */
const DEVICE_GROWTH = 2 << 20;
/** JavaScript's own memory comes and goes. */
const PROCESS_GROWTH = 48 << 20;

/** Memory of device and process over many runs of every pass, in all lanes. */
export async function flat(desk: CheckDesk): Promise<CheckOutcome> {
  const { shape, smoke } = desk.terms;
  const [engine, bed, model] = [await desk.engine(), await desk.bed(), await desk.model()];
  const batches = [...new Set([1, shape.batch])];
  const cases = batches.flatMap((batch) => passesOf(model, usualAttention(model), shape, batch, desk.onCuda));
  return withCases(bed, cases, async (ready) => {
    const play = async (runs: number) => {
      let left = runs;
      const caller = async () => {
        while (left > 0) await ready[left-- % ready.length]!.time(1);
      };
      await Promise.all(Array.from({ length: LANES }, caller));
    };
    await play(smoke ? SMOKE_RUNS : WARM_RUNS);
    const before = takenOf(engine);
    const runs = smoke ? SMOKE_RUNS : RUNS;
    await play(runs);
    const after = takenOf(engine);
    const [device, resident] = [after.device - before.device, after.resident - before.resident];
    const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    const complaints = [
      ...(desk.onCuda && device > DEVICE_GROWTH
        ? [`the device's memory grew by ${mib(device)} over ${runs} runs`]
        : []),
      ...(resident > PROCESS_GROWTH ? [`the process grew by ${mib(resident)} over ${runs} runs`] : []),
    ];
    const onDevice = desk.onCuda ? `device ${mib(device)}, ` : '';
    return judged(complaints, `over ${runs} runs: ${onDevice}process ${mib(resident)} more`, { device, resident });
  });
}

function takenOf(engine: DeviceEngine): { readonly device: number; readonly resident: number } {
  const { freeBytes, totalBytes } = engine.memory();
  return { device: totalBytes - freeBytes, resident: process.memoryUsage.rss() };
}
