export { BufferPool, type RunBuffer } from './buffers.js';
export * from './engine.js';
export * from './fake-engine.js';
export { createEngine, type EngineOptions } from './onnx-engine.js';
export type { TensorSpec } from './tensors.js';
