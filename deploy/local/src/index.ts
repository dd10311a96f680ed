export * from './local.js';
export * from './mesh.js';
