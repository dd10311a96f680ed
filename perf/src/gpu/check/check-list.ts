import type { DeviceModel } from '@onepass/device-trunk';
import { PAGED } from '../graphs.js';
import { DTYPES } from '../options.js';
import { capturedAsNot, replays } from './captured.js';
import { attentionsOf, GATHER, usualAttention } from './cases.js';
import type { CheckOutcome } from './check.js';
import type { CheckDesk } from './desk.js';
import { fullDevice, goodEnd, lostDevice, tooMuchAsked } from './faults.js';
import { fits } from './fits.js';
import { kernels } from './kernels.js';
import { closeBesideRun, shortBesideLong, throughput } from './lanes.js';
import { flat } from './memory.js';
import { numbers } from './numbers.js';
import { noCopyOfPools, writtenByTwo, writtenInPlace } from './pools.js';
import { captures, device, opens } from './sessions.js';
import { badAlone, togetherAsAlone } from './trunk.js';
import { sleepOrSpin } from './wait.js';

/** One thing that a device has to show. What it throws is its failure. */
export interface Check {
  readonly name: string;
  run(desk: CheckDesk): Promise<CheckOutcome>;
}

/** What docs/decisions/022, 023 and 024 want a GPU to show first, what others stand on before what stands on it. */
export function checksOf(model: DeviceModel): Check[] {
  const attentions = attentionsOf(model);
  const each = (what: string, run: (desk: CheckDesk, attention: string) => Promise<CheckOutcome>, of = attentions) =>
    of.map(
      (attention): Check => ({
        name: `${what}: ${attention === GATHER ? 'gather' : attention}`,
        run: (desk) => run(desk, attention),
      }),
    );
  const appending = attentions.filter((name) => name === usualAttention(model) || name === PAGED);
  const one = (name: string, run: Check['run']): Check => ({ name, run });
  return [
    one('the device opens', device),
    ...each('sessions open in all lanes', opens, [...attentions, GATHER]),
    ...each('runs are captured', captures, [...attentions, GATHER]),
    ...each('captured runs are as runs that are not', capturedAsNot),
    ...each('runs repeat after others', replays),
    ...each('an append writes its own rows only', writtenInPlace, appending),
    one('two appends at one time write what each writes alone', writtenByTwo),
    one('no pool is copied', noCopyOfPools),
    ...DTYPES.flatMap((dtype) =>
      each(`numbers beside float32 on the CPU: ${dtype}`, (desk, attention) => numbers(desk, dtype, attention)),
    ),
    one('people together are as alone', togetherAsAlone),
    one('who is bad fails alone', badAlone),
    one('memory is flat', flat),
    one('several lanes do more than one', throughput),
    one('a long run does not stop short ones', shortBesideLong),
    one('closing a prepared run beside another', closeBesideRun),
    one('waiting asleep and spinning', sleepOrSpin),
    one('kernels of attention', kernels),
    one('the shape fits', fits),
    one('too much memory is refused', tooMuchAsked),
    one('a full device refuses what is new alone', fullDevice),
    one('a lost device ends its process', lostDevice),
    one('a process that closed its engine ends', goodEnd),
  ];
}
