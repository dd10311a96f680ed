import { fileURLToPath } from 'node:url';

/** Directory of a complete release of the smallest size, made by `npm run train -- --smoke`. */
export const SMOKE_RELEASE = fileURLToPath(new URL('../fixtures/release-smoke', import.meta.url));

/** Directory of the release that is served unless another is named. */
export const DEFAULT_RELEASE = fileURLToPath(new URL('../../../releases/default', import.meta.url));
