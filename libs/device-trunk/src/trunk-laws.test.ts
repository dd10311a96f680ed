import { createDeviceEngine, type DeviceEngine } from '@onepass/inference';
import { DEVICE_GRAPHS } from '@onepass/testing';
import { graphPath, readDeviceModel } from './device-model.js';
import { fillRank, type Slate } from './run-inputs.js';
import { TOY, toyDevice, toyHidden, toyProbabilities } from './toy-trunk.suite.js';
import { type LawSubject, trunkLaws } from './trunk-laws.suite.js';

trunkLaws(
  'the toy',
  async () => {
    const { engine } = toyDevice({ lanes: 2 });
    const probabilities = async (past: Float32Array, slate: Slate) => toyProbabilities(past, slate);
    return { engine, model: TOY, attention: 'plain', probabilities, hidden: toyHidden, close: () => engine.close() };
  },
  150,
);

for (const attention of ['plain', 'mha'])
  trunkLaws(`graphs with ${attention} attention`, () => openGraphs(attention), 12);

/** Real graphs on the CPU, two lanes; from scratch they say it by the graph that recomputes the past. */
async function openGraphs(attention: string): Promise<LawSubject> {
  const model = await readDeviceModel(DEVICE_GRAPHS);
  const engine: DeviceEngine = await createDeviceEngine({
    device: 'cpu',
    lanes: 2,
    threads: 1,
    onLost: (error) => {
      throw error;
    },
  });
  const recompute = await engine.load(graphPath(model, 'recompute', attention));
  const sizes = { b: 1, g: 0, s: 1, c: 2, k: 12 };
  const { b, s, c, k } = sizes;
  const run = await recompute.prepare({ b, s, c, k, n: model.window }, {});
  const probabilities = async (past: Float32Array, slate: Slate) => {
    const { value } = await run.run(
      (inputs) => {
        (inputs.rows as Float32Array).fill(0).set(past);
        const entry = { length: past.length / model.columns, pages: [], slates: [slate] };
        fillRank({ ...inputs, pages: new BigInt64Array(0) }, sizes, model, [entry]);
      },
      (outputs) => (outputs.probabilities as Float32Array).slice(0, slate.candidateCount * model.actions),
    );
    return value;
  };
  return { engine, model, attention, probabilities, close: () => engine.close() };
}
