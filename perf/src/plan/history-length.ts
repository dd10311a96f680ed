import type { Release } from '@onepass/release';

/** Actions before the first page: nearly the window, but so that some more fit. */
const LENGTH = 7 / 8;

/** What people have before anything happens, in the measurement and in what is compared with it. */
export const lengthOf = ({ manifest }: Pick<Release, 'manifest'>) => Math.floor(manifest.model.window * LENGTH);
