export { BufferPool, type RunBuffer } from './buffers.js';
export * from './device/device.js';
export { createDeviceEngine, type DeviceEngineOptions } from './device/device-engine.js';
export * from './device/fake-device-engine.js';
export * from './engine.js';
export * from './fake-engine.js';
export { createEngine, type EngineOptions } from './onnx-engine.js';
export { RunQueue, type RunQueueOptions, type WorkTerms } from './run-queue.js';
export type { ElementType, TensorSpec } from './tensors.js';
