import { startupError } from '@onepass/errors';
import { messageOf } from './device/faults.js';
import { NativeNames } from './onnx-graph.js';
import { type Address, LOG_FATAL, type OnnxRuntime } from './onnxruntime.js';

/** Options of ONNX Runtime's CUDA provider, by its names. */
export interface CudaOptions {
  readonly options: Readonly<Record<string, string>>;
  /** The stream in which it computes; absent = its own. */
  readonly stream?: Address;
}

/** @param cuda absent = the CPU alone. @throws OnepassError `startup` when the CUDA provider cannot be used. */
export function makeSessionOptions(runtime: OnnxRuntime, threads: number, cuda?: CudaOptions): Address {
  const out = new BigUint64Array(1);
  runtime.check(runtime.createSessionOptions(out));
  const options = out[0]!;
  try {
    runtime.check(runtime.setIntraOpThreads(options, threads));
    runtime.check(runtime.setInterOpThreads(options, 1));
    runtime.check(runtime.setLogSeverity(options, LOG_FATAL));
    // Waiting threads that spin take the cores of the services beside them.
    runtime.check(runtime.addSessionConfig(options, 'session.intra_op.allow_spinning', '0'));
    runtime.check(runtime.addSessionConfig(options, 'session.inter_op.allow_spinning', '0'));
    if (cuda !== undefined) appendCuda(runtime, options, cuda);
  } catch (error) {
    runtime.releaseSessionOptions(options);
    throw error;
  }
  return options;
}

function appendCuda(runtime: OnnxRuntime, options: Address, { options: cuda, stream }: CudaOptions): void {
  const out = new BigUint64Array(1);
  // float32 is to be float32: in TF32 its numbers are those of fp16 graphs.
  const all = { use_tf32: '0', ...cuda };
  const names = [new NativeNames(Object.keys(all)), new NativeNames(Object.values(all))];
  try {
    runtime.check(runtime.createCudaOptions(out));
    const [keys, values] = names.map(({ address }) => address);
    runtime.check(runtime.updateCudaOptions(out[0]!, keys!, values!, Object.keys(all).length));
    if (stream !== undefined) runtime.check(runtime.updateCudaPointer(out[0]!, 'user_compute_stream', stream));
    runtime.check(runtime.appendCuda(options, out[0]!));
  } catch (error) {
    throw startupError(`its execution provider cannot be used: ${clauseOf(messageOf(error))}`, error);
  } finally {
    // Used down here, the names are not collected before.
    names.length = 0;
    if (out[0] !== 0n) runtime.releaseCudaOptions(out[0]!);
  }
}

/** Without the places in the native sources that come first. */
function clauseOf(message: string): string {
  return message.replace(/^.*(?:with error: |\[ONNXRuntimeError\] : \d+ : \w+ : )/, '').trim();
}
