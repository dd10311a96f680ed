import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { startupError } from '@onepass/errors';
import { TRAINING_SOURCES } from '../kit/shape/run-training.js';

/** What makes device graphs needs; PyTorch may be missing. */
const PROBE = 'import sys, numpy, onnx; print("fits" if sys.version_info >= (3, 11) else sys.version.split()[0])';
const LIMIT_MS = 60_000;

/**
 * Lets an interpreter that the user named show that it can make device graphs.
 * @returns the same
 * @throws OnepassError `startup` that names --python and says what is missing
 */
export async function checkedPython(python: string): Promise<string> {
  const env = { ...process.env, PYTHONPATH: TRAINING_SOURCES };
  const missing = await promisify(execFile)(python, ['-c', PROBE], { env, timeout: LIMIT_MS }).then(
    ({ stdout }) => whatIsMissing(stdout.trim()),
    (error: FailedProbe) => lastLine(error.stderr) ?? describeFailure(error),
  );
  if (missing === undefined) return python;
  throw startupError(`--python "${python}" must be a Python >= 3.11 with numpy and onnx: ${missing}`);
}

type FailedProbe = Error & { readonly code?: number | string; readonly killed?: boolean; readonly stderr?: string };

function whatIsMissing(said: string): string | undefined {
  if (said === 'fits') return undefined;
  return /^\d+\.\d+/.test(said) ? `it is Python ${said}` : 'it does not answer as Python does';
}

function describeFailure({ code, killed, message }: FailedProbe): string {
  if (killed) return `it did not answer within ${LIMIT_MS / 1000} s`;
  return typeof code === 'number' ? `it ended with exit code ${code}` : message;
}

const lastLine = (text = '') => text.trim().split('\n').at(-1) || undefined;
