import type { Agreement } from '../agreement.js';
import type { GpuCase, Timed } from '../gpu-case.js';
import { PAGED } from '../graphs.js';
import type { Dtype } from '../options.js';
import { Reasons } from '../reasons.js';
import { besideReference } from '../reference.js';
import { sentenceOf } from '../sentence.js';
import { filesOf, usualAttention, withCases } from './cases.js';
import { type CheckOutcome, judged, leftOut } from './check.js';
import type { CheckDesk } from './desk.js';
import { EQUAL } from './same.js';

/** Of the order of candidates (`gpu_order_agreement`). */
const LEAST_KENDALL = 0.99;

/** One kind of attention in one precision beside float32 on the CPU: ranking behind encode, behind prefill, and recomputing. */
export async function numbers(desk: CheckDesk, dtype: Dtype, attention: string): Promise<CheckOutcome> {
  const { shape } = desk.terms;
  const reference = await desk.reference();
  const [model, bed] = [await desk.model(dtype), await desk.bed(dtype)];
  const kinds = new Set(filesOf(model, attention).map(([kind]) => kind));
  // There is no kernel of it (decision 022), which is no fault of anybody's.
  if (desk.onCuda && attention === 'gqa' && dtype === 'float32') return leftOut('the library has no such kernel');
  const of = (timed: Timed, by: string, rows = 0): GpuCase => {
    return { system: 'onepass', timed, batch: shape.batch, rows, attention: by, captured: desk.onCuda };
  };
  if (kinds.size === 0) return leftOut(`there are no such graphs in ${dtype}`);
  const usual = usualAttention(model);
  const ranks = kinds.has('rank') ? attention : usual;
  // Behind the last row lies what another encoded.
  const appends = [of('encode', usual, shape.n), of('append', attention, 1), of('rank', ranks)];
  const ways = [
    ...(kinds.has('encode') && attention !== PAGED ? [[of('encode', attention, shape.n), of('rank', ranks)]] : []),
    ...(kinds.has('encode') ? [appends] : []),
    ...(kinds.has('prefill') ? [[of('prefill', attention, shape.n), of('rank', ranks)]] : []),
    ...(kinds.has('recompute') ? [[of('recompute', attention)]] : []),
  ];
  const complaints: string[] = [];
  const reasons = new Reasons();
  const seen: Agreement[] = [];
  for (const way of ways) {
    const name = way.map(({ timed }) => timed).join(' and ');
    try {
      const found = await withCases(bed, way, async (ready) => {
        let last = new Float32Array();
        for (const one of ready) last = Float32Array.from(await one.outputs());
        return besideReference(reference, shape, last);
      });
      seen.push(found);
      complaints.push(...complaintsOf(found, dtype).map((what) => `${name} ${what}`));
    } catch (error) {
      reasons.add(way.at(-1)!, sentenceOf(error));
    }
  }
  const most = (part: (one: Agreement) => number) => Math.max(...seen.map(part));
  const [worst, mean, kendall] = [most((one) => one.worst), most((one) => one.mean), -most((one) => -one.kendall)];
  const told = `off by at most ${worst.toExponential(1)}, ${mean.toExponential(1)} on average, Kendall ${kendall.toFixed(5)}`;
  return judged([...complaints, ...reasons.lines], told, seen.length === 0 ? undefined : { worst, mean, kendall });
}

function complaintsOf({ worst, kendall }: Agreement, dtype: Dtype): string[] {
  if (Number.isNaN(worst)) return ['gives probabilities that are no numbers'];
  return [
    ...(worst > EQUAL[dtype] ? [`is off by ${worst.toExponential(1)}, more than ${EQUAL[dtype]}`] : []),
    ...(kendall >= LEAST_KENDALL
      ? []
      : [`orders candidates otherwise: Kendall ${kendall.toFixed(4)}, less than ${LEAST_KENDALL}`]),
  ];
}
