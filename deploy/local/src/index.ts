export { readCommandLine, runCommand } from './command.js';
export * from './local.js';
export * from './mesh.js';
export { freePorts } from './ports.js';
export * from './vocabulary.js';
