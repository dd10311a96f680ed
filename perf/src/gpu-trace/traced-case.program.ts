// Prepares every case in a process whose loader finds the fake CUDA, and says what each capture held: one line of JSON a case on standard output.
import { readFileSync } from 'node:fs';
import { readDeviceModel } from '@onepass/device-trunk';
import { OnepassError } from '@onepass/errors';
import { createDeviceEngine } from '@onepass/inference';
import { TrunkBed } from '../gpu/bed.js';
import { PAGE } from '../gpu/bench-cases.js';
import { describeCase } from '../gpu/gpu-case.js';
import { faultsOf, lastCapture, takenBytes } from './trace.js';
import { type TraceAsk, type TracedCase, tracedCases } from './traced-cases.js';

const { folder, n, k, batch, libraries, trace } = JSON.parse(process.argv[2]!) as TraceAsk;
const description = await readDeviceModel(folder);
const engine = await createDeviceEngine({
  ...{ device: 'cuda:0', lanes: 1, threads: 1, libraryDirectory: libraries },
  onLost: (error) => {
    throw error;
  },
});
const bed = await TrunkBed.open(engine, { folder, description }, { ...PAGE, batch, n, k });
for (const asked of tracedCases(description, { n, batch })) {
  const before = readFileSync(trace, 'utf8').length;
  const why = await bed.prepare(asked).then(
    () => undefined,
    (error: unknown) => OnepassError.from(error).message,
  );
  const written = readFileSync(trace, 'utf8').slice(before);
  const seen = { faults: faultsOf(written), taken: takenBytes(written) };
  const answer = { ...(why === undefined ? { work: lastCapture(written) } : { why }), ...seen };
  console.log(
    JSON.stringify({ asked, what: describeCase({ ...asked, captured: false }), ...answer } satisfies TracedCase),
  );
}
await engine.close();
