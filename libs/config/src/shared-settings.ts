import { choice, integer, text } from './settings.js';

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
  executionProvider: choice('ONEPASS_EXECUTION_PROVIDER', 'where graphs run', ['auto', 'cpu', 'cuda'], {
    default: 'auto',
  }),
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
