export { checksum } from './files.js';
export * from './finish.js';
export { ID_BYTES, type ItemSource, Items, openItems, openPopular } from './items.js';
export * from './manifest.js';
export * from './metadata.js';
export * from './release.js';
export * from './vocabulary.js';
