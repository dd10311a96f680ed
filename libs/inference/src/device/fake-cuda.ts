import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('../../fixtures/cuda', import.meta.url));
/** By library, what it is made of and linked to. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  'libcudart.so.13': ['cudart.c', 'launches.c', 'properties.c'],
  'libcublas.so.13': ['cublas.c', '-l:libcudart.so.13'],
  'libcublasLt.so.13': ['cublas.c', '-l:libcudart.so.13'],
  'libcuda.so.1': ['cublas.c', '-l:libcudart.so.13'],
  'libcurand.so.10': ['-x', 'c', '/dev/null'],
};

/** Makes the CUDA runtime of fixtures/cuda in `directory`, and what ONNX Runtime's CUDA provider wants beside it. @returns false where there is no C compiler */
export function compileFakeCuda(directory: string): boolean {
  mkdirSync(directory, { recursive: true });
  try {
    for (const [name, parts] of Object.entries(LIBRARIES)) {
      // Versions of symbols, as the provider was linked with.
      const versions = join(directory, `${name}.map`);
      writeFileSync(versions, `${name} { *; };\n`);
      const options = ['-O1', '-shared', '-fPIC', `-Wl,-soname,${name},--version-script,${versions}`, `-L${directory}`];
      execFileSync('cc', [...options, '-o', join(directory, name), ...parts], { cwd: SOURCES });
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
