export * from './demo/demo.js';
export * from './demo/screen.js';
export * from './local.js';
export * from './mesh.js';
export * from './supervisor.js';
