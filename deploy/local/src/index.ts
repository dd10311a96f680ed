export { readCommandLine, runCommand } from './command.js';
export * from './local.js';
export * from './mesh.js';
export { freePorts } from './ports.js';
export { ensurePythonOf, type PythonFolder } from './python.js';
export * from './vocabulary.js';
