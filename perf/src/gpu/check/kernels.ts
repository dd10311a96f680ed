import { writeSync } from 'node:fs';
import { describeCase } from '../gpu-case.js';
import { Reasons } from '../reasons.js';
import { sentenceOf } from '../sentence.js';
import { attentionsOf, passesOf, withCases } from './cases.js';
import { type CheckOutcome, failed, leftOut, ok } from './check.js';
import type { CheckDesk } from './desk.js';

/** Before each pass on standard output, where the library says what its attention operators run. */
const MARK = '== ';
const SAYS_KERNELS = { ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO: '1' };

/** Which kernel each pass's attention operators ran, as far as the library says it. */
export async function kernels(desk: CheckDesk): Promise<CheckOutcome> {
  if (!desk.onCuda) return leftOut('on a CPU there is one kernel for each operator');
  const { told, end, stdout } = await desk.task<string[]>('kernels', {}, SAYS_KERNELS);
  const seen = [...kernelsOf(stdout)].map(([pass, names]) => `${pass}: ${names.join(' and ')}`);
  if (told === undefined) return failed([end, ...seen].join('; '));
  if (seen.length === 0) return leftOut('the library says nothing of its kernels');
  return ok([...seen, ...told].join('; '));
}

/** By pass, each kernel once. */
export function kernelsOf(stdout: string): Map<string, string[]> {
  const found = new Map<string, Set<string>>();
  let pass = '';
  for (const line of stdout.split('\n')) {
    if (line.startsWith(MARK)) pass = line.slice(MARK.length);
    const kernel = /SdpaKernel=(\w+)/.exec(line)?.[1];
    if (kernel !== undefined) found.set(pass, (found.get(pass) ?? new Set()).add(kernel.toLowerCase()));
  }
  return new Map([...found].map(([name, names]) => [name, [...names]]));
}

/** The task: every pass once, and before each its name where the library says its kernels. @returns sentences on what could not run */
export async function runForKernels(desk: CheckDesk): Promise<string[]> {
  const [model, bed] = [await desk.model(), await desk.bed()];
  const { shape } = desk.terms;
  const failures = new Reasons();
  const passes = attentionsOf(model).flatMap((attention) => passesOf(model, attention, shape, shape.batch, false));
  for (const asked of passes) {
    writeSync(process.stdout.fd, `\n${MARK}${describeCase(asked)}\n`);
    await withCases(bed, [asked], async () => {}).catch((error) => {
      failures.add(asked, sentenceOf(error));
    });
  }
  return failures.lines;
}
