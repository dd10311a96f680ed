import { formatCell } from '@onepass/routing';
import { expect, test } from 'vitest';
import { planCells, planMesh, processNames } from './plan.js';

const options = {
  root: '/checkout',
  host: '127.0.0.1',
  ports: [1, 2, 3, 4],
  releaseDir: '/release',
  dataDir: '/data',
  cellDir: '/dev/shm/cell',
  cellsFile: '/data/cells',
  env: {},
} as const;

test('every role has its program, its port and the release; the gateway knows the others', () => {
  const plans = planMesh(options);
  expect(plans.map((p) => [p.role, p.address])).toEqual([
    ['user-encoder', '127.0.0.1:2'],
    ['ranking', '127.0.0.1:4'],
    ['retrieval', '127.0.0.1:3'],
    ['gateway', '127.0.0.1:1'],
  ]);
  expect(
    plans.every((p) => p.env.ONEPASS_RELEASE_DIR === '/release' && p.address.endsWith(`:${p.env.ONEPASS_PORT}`)),
  ).toBe(true);
  expect(plans[0]?.program).toBe('/checkout/services/user-encoder/dist/main.js');
  expect(plans[3]?.env).toMatchObject({
    ONEPASS_CELLS_FILE: '/data/cells',
    ONEPASS_RETRIEVAL: '127.0.0.1:3',
    ONEPASS_DATA_DIR: '/data',
  });
  expect(plans[0]?.env.ONEPASS_CELL_DIR).toBe(plans[1]?.env.ONEPASS_CELL_DIR);
});

test("a ranking model's own encoder is a fifth process, whose KV ranking reads and to which the gateway is told the way", () => {
  const env = { ONEPASS_METRICS_PORT: '9100' };
  const plans = planMesh({ ...options, ports: [1, 2, 3, 4, 5], rankingEncoder: true, env });
  const apart = plans.find((p) => p.role === 'ranking-encoder');
  expect(apart).toMatchObject({ program: '/checkout/services/user-encoder/dist/main.js', address: '127.0.0.1:5' });
  expect(apart?.env).toMatchObject({ ONEPASS_DATA_DIR: '/data', ONEPASS_METRICS_PORT: '9104' });
  const cellDirs = Object.fromEntries(plans.map((p) => [p.role, p.env.ONEPASS_CELL_DIR]));
  expect(cellDirs).toEqual({
    'user-encoder': '/dev/shm/cell',
    'ranking-encoder': '/dev/shm/cell/ranking',
    ranking: '/dev/shm/cell/ranking',
  });
  expect(planCells({ ...options, ports: [1, 2, 3, 4, 5], rankingEncoder: true }).map(formatCell)).toEqual([
    'name=cell-1,encoder=127.0.0.1:2,ranking=127.0.0.1:4,ranking-encoder=127.0.0.1:5,state=serving',
  ]);
});

test('a second cell has processes, ports and KV of its own; of each service more than one is told apart by its name', () => {
  const shape = { cells: 2, rankingEncoder: true };
  const names = processNames(shape);
  expect(names.slice(0, 5)).toEqual(['gateway', 'user-encoder', 'retrieval', 'ranking', 'ranking-encoder']);
  expect(names.slice(5)).toEqual(['user-encoder-2', 'ranking-2', 'ranking-encoder-2']);
  const plans = planMesh({ ...options, ...shape, ports: [1, 2, 3, 4, 5, 6, 7, 8] });
  expect(plans.map((p) => [p.role, p.service, p.address.split(':')[1], p.env.ONEPASS_CELL_DIR])).toEqual([
    ['user-encoder', 'user-encoder', '2', '/dev/shm/cell'],
    ['ranking-encoder', 'user-encoder', '5', '/dev/shm/cell/ranking'],
    ['ranking', 'ranking', '4', '/dev/shm/cell/ranking'],
    ['user-encoder-2', 'user-encoder', '6', '/dev/shm/cell/2'],
    ['ranking-encoder-2', 'user-encoder', '8', '/dev/shm/cell/2/ranking'],
    ['ranking-2', 'ranking', '7', '/dev/shm/cell/2/ranking'],
    ['retrieval', 'retrieval', '3', undefined],
    ['gateway', 'gateway', '1', undefined],
  ]);
  const cells = planCells({ ...options, ...shape, ports: [1, 2, 3, 4, 5, 6, 7, 8] });
  expect(cells.map(({ name, encoder, ranking, rankingEncoder }) => [name, encoder, ranking, rankingEncoder])).toEqual([
    ['cell-1', '127.0.0.1:2', '127.0.0.1:4', '127.0.0.1:5'],
    ['cell-2', '127.0.0.1:6', '127.0.0.1:7', '127.0.0.1:8'],
  ]);
});

test('a device cell is one process on the ports of two, as the gateway sees it too', () => {
  const shape = { cells: 2, deviceGraphs: '/graphs' };
  const of = { ...options, ...shape, ports: [1, 2, 3, 4, 5, 6], env: { ONEPASS_METRICS_PORT: '9100' } };
  const plans = planMesh(of);
  expect(plans.map((p) => [p.role, p.service, p.address, p.env.ONEPASS_RANKING_PORT])).toEqual([
    ['device-cell', 'device-cell', '127.0.0.1:2', '4'],
    ['device-cell-2', 'device-cell', '127.0.0.1:5', '6'],
    ['retrieval', 'retrieval', '127.0.0.1:3', undefined],
    ['gateway', 'gateway', '127.0.0.1:1', undefined],
  ]);
  expect(plans[0]).toMatchObject({
    program: '/checkout/services/device-cell/dist/main.js',
    env: {
      ONEPASS_DEVICE_GRAPHS: '/graphs',
      ONEPASS_DATA_DIR: '/data',
      ONEPASS_PORT: '2',
      ONEPASS_METRICS_PORT: '9101',
      ONEPASS_RANKING_METRICS_PORT: '9103',
    },
  });
  expect(planCells(of)).toEqual(planCells({ ...of, deviceGraphs: undefined }));
});

test("libuv's pool is larger than the graph runs in flight, whatever they are set to", () => {
  const threads = (inFlight?: string) =>
    Number(planMesh({ ...options, env: { ONEPASS_INFERENCE_IN_FLIGHT: inFlight } })[0]?.env.UV_THREADPOOL_SIZE);
  expect(threads()).toBe(6);
  expect(threads('16')).toBe(20);
  expect(threads('many')).toBe(6);
  const settings = { ONEPASS_INFERENCE_IN_FLIGHT: '3' };
  for (const { env } of planMesh({ ...options, env: { ONEPASS_INFERENCE_IN_FLIGHT: '16' }, settings })) {
    expect(env).toMatchObject({ ...settings, UV_THREADPOOL_SIZE: '7' });
  }
});

test('metrics have a port of their own in each process, from the one that is set', () => {
  const metricsPorts = (first: string) =>
    planMesh({ ...options, env: { ONEPASS_METRICS_PORT: first } }).map((p) => p.env.ONEPASS_METRICS_PORT);
  expect(metricsPorts('9100')).toEqual(['9101', '9103', '9102', '9100']);
  expect(metricsPorts('')).toEqual([undefined, undefined, undefined, undefined]);
});
