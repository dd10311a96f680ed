// Over the fake CUDA runtime, which the loader of this process finds, and ONNX Runtime's own CUDA provider: one line of JSON on what was captured and given back.
import { koffi } from '@onepass/shared-memory';
import { createDeviceEngine } from '../index.js';

const [libraryDirectory, graph] = process.argv.slice(2) as [string, string];
const LANES = 2;
const library = koffi.load('libcudart.so.13');
const graphs = library.func('size_t fakeCudaGraphs()') as () => number;
const complaints = library.func('size_t fakeCudaComplaints()') as () => number;

const engine = await createDeviceEngine({
  ...{ device: 'auto', lanes: LANES, threads: 1, libraryDirectory },
  onLost: (error) => {
    throw error;
  },
});
const loaded = await engine.load(graph);
const pool = await engine.allocate(64);
const prepare = (n: number) => loaded.prepare({ n, g: 1, r: 8 }, { pool, pool_out: pool });
const runs = [await prepare(1), await prepare(2)];
const captured = graphs();
runs[0]!.close();
await runs[1]!.run(
  () => {},
  () => {},
);
await engine.clear([{ buffer: pool, from: 0, to: 64 }]);
const closed = graphs();
const again = await prepare(1);
await Promise.all(
  Array.from({ length: LANES }, () =>
    again.run(
      () => {},
      () => {},
    ),
  ),
);
const { device, lanes } = engine;
await engine.close();
console.log(JSON.stringify({ device, lanes, captured, closed, left: graphs(), complaints: complaints() }));
