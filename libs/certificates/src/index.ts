export * from './authority.js';
export * from './files.js';
