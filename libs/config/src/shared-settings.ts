import { choice, integer, parsed, text } from './settings.js';

/** Settings that several roles share, each defined once. */
export const sharedSettings = {
  host: text('ONEPASS_HOST', 'address to listen on', { default: '127.0.0.1' }),
  releaseDir: text('ONEPASS_RELEASE_DIR', 'directory of the release to serve'),
  dataDir: text(
    'ONEPASS_DATA_DIR',
    'directory of durable state; LMDB keeps histories in its folder history and slates in its folder slates',
  ),
  cellDir: text('ONEPASS_CELL_DIR', 'directory of the KV pool, shared by user-encoder and ranking; best on /dev/shm'),
  logLevel: choice('ONEPASS_LOG_LEVEL', 'least level that is logged', ['debug', 'info', 'warn', 'error', 'silent'], {
    default: 'info',
  }),
  executionProvider: parsed(
    'ONEPASS_EXECUTION_PROVIDER',
    'where graphs run: auto (a GPU where one can be used, else the CPU), cpu, or a GPU by its number as cuda:0',
    deviceName,
    { default: 'auto' },
  ),
  onnxruntimeDir: text(
    'ONEPASS_ONNXRUNTIME_DIR',
    "directory of ONNX Runtime's libraries; empty for those of the npm package, which know the CPU only",
    { default: '' },
  ),
  inferenceInFlight: integer('ONEPASS_INFERENCE_IN_FLIGHT', 'graph runs at one time; stays below UV_THREADPOOL_SIZE', {
    default: 2,
    minimum: 1,
    maximum: 64,
  }),
  inferenceThreads: integer('ONEPASS_INFERENCE_THREADS', 'threads inside one graph run', {
    default: 1,
    minimum: 1,
    maximum: 64,
  }),
  drainMs: integer('ONEPASS_DRAIN_MS', 'how long calls in flight may take after SIGTERM', {
    default: 5_000,
    minimum: 0,
    maximum: 600_000,
  }),
} as const;

function deviceName(raw: string): 'auto' | 'cpu' | `cuda:${number}` {
  if (raw === 'auto' || raw === 'cpu') return raw;
  const index = /^cuda:(\d{1,3})$/.exec(raw)?.[1];
  if (index === undefined) throw new Error('must be auto, cpu or cuda:NUMBER');
  return `cuda:${Number(index)}`;
}
