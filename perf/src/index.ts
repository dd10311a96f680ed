export * from './drills/run-drills.js';
export { runBenchGpu } from './gpu/run-gpu.js';
export { runTraceGpu } from './gpu-trace/run-trace.js';
export { runBench } from './kit/run/bench.js';
export { runPlan } from './plan/run-plan.js';
