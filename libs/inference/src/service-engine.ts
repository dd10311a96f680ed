import { endOnLostDevice } from './device/lost-device.js';
import type { InferenceEngine } from './engine.js';
import { createEngine, type EngineOptions } from './onnx-engine.js';

/** As services have them. */
export interface EngineSettings {
  readonly executionProvider: EngineOptions['provider'];
  readonly onnxruntimeDir: string;
  readonly inferenceInFlight: number;
  readonly inferenceThreads: number;
}

/** The engine of a service, whose process ends when its device is lost. @throws OnepassError `startup`, one sentence */
export function createServiceEngine(settings: EngineSettings): InferenceEngine {
  return createEngine({
    provider: settings.executionProvider,
    libraryDirectory: settings.onnxruntimeDir,
    onLost: endOnLostDevice,
    inFlight: settings.inferenceInFlight,
    threads: settings.inferenceThreads,
  });
}
