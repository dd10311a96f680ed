// A process with a device engine: `idle` has nothing to do, `fake` loses a fake device, `cuda` one whose CUDA calls fail; the graph's path and the fake CUDA runtime's directory follow.
import { createDeviceEngine, endOnLostDevice, FakeDeviceEngine } from '../index.js';
import { openFakeCudaEngine } from './fake-cuda.suite.js';

const [how, graph = '', directory = ''] = process.argv.slice(2);
const none = () => {};

if (how === 'idle') {
  const engine = await createDeviceEngine({ device: 'cpu', lanes: 2, threads: 1, onLost: endOnLostDevice });
  const run = await (await engine.load(graph)).prepare({ n: 1, g: 1, r: 8 }, {});
  await run.run(none, none);
} else if (how === 'fake') {
  new FakeDeviceEngine({}, { onLost: endOnLostDevice }).lose();
} else {
  const { engine, fake } = await openFakeCudaEngine(directory, { lanes: 2, onLost: endOnLostDevice });
  const run = await (await engine.load(graph)).prepare({ n: 1, g: 1, r: 8 }, {});
  fake.fail(719);
  await run.run(none, none).finally(() => process.exit(3));
}
