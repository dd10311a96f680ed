import { fileURLToPath } from 'node:url';

/** Directory of a complete release of the smallest size, made by `npm run train -- --smoke`. */
export const SMOKE_RELEASE = fileURLToPath(new URL('../fixtures/release-smoke', import.meta.url));

/** Directory of the release that is served unless another is named. */
export const DEFAULT_RELEASE = fileURLToPath(new URL('../../../releases/default', import.meta.url));

/**
 * Directories of device graphs of the smallest size, made in training/ by `python -m onepass_training device-graphs`: `smoke` with `--release
 * ../libs/testing/fixtures/release-smoke --page-tokens 4 --attention plain`, `mha` and `attention` with `--n 24 --layers 2 --width 16 --heads 2 --page-tokens
 * 4 --attention mha` and `attention`.
 */
export const DEVICE_GRAPHS = {
  smoke: fileURLToPath(new URL('../fixtures/device-graphs/smoke', import.meta.url)),
  mha: fileURLToPath(new URL('../fixtures/device-graphs/mha', import.meta.url)),
  attention: fileURLToPath(new URL('../fixtures/device-graphs/attention', import.meta.url)),
};
