/** A matrix product as cuBLAS was asked for it; column-major, so that rows and columns are exchanged. */
export interface Product {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batch: number;
}

export interface Copy {
  readonly from: string;
  readonly to: string;
  readonly bytes: number;
}

/** What one captured run gives to the device. */
export interface CapturedWork {
  /** Mangled names, in order. */
  readonly kernels: readonly string[];
  readonly products: readonly Product[];
  readonly copies: readonly Copy[];
  readonly memsets: number;
}

/**
 * The last capture of a trace that the fake CUDA wrote (libs/inference/fixtures/cuda), what other threads and streams did meanwhile left out.
 * @returns undefined: nothing was captured
 */
export function lastCapture(trace: string): CapturedWork | undefined {
  const lines = trace.split('\n').map((line) => line.split('\t'));
  const end = lines.findLastIndex(([, , call]) => call === 'captured');
  if (end < 0) return undefined;
  const isOfIt = ([thread, stream]: readonly string[]) => thread === lines[end]![0] && stream === lines[end]![1];
  const begin = lines.findLastIndex((line, i) => i < end && line[2] === 'capture' && isOfIt(line));
  const calls = lines.slice(begin + 1, end).filter(isOfIt);
  const of = (call: string) => calls.filter((line) => line[2] === call);
  return {
    kernels: of('kernel').map((line) => line[3]!),
    products: of('product').map(([, , , , m, n, k, batch]) => ({
      m: Number(m),
      n: Number(n),
      k: Number(k),
      batch: Number(batch),
    })),
    copies: of('copy').map(([, , , from, to, bytes]) => ({ from: from!, to: to!, bytes: Number(bytes) })),
    memsets: of('memset').length,
  };
}

/** Bytes of the device that were asked for, and had. */
export function takenBytes(trace: string): number {
  const calls = trace.split('\n').map((line) => line.split('\t'));
  return calls.reduce(
    (sum, [, , call, bytes, code]) => sum + (call === 'cudaMalloc' && code === '0' ? Number(bytes) : 0),
    0,
  );
}

/** Sentences of what was done against CUDA's rules. */
export function faultsOf(trace: string): string[] {
  return trace.split('\n').flatMap((line) => line.split('\tfault\t')[1] ?? []);
}

/** Nodes of the captured graph. */
export const nodesOf = ({ kernels, products, copies, memsets }: CapturedWork): number =>
  kernels.length + products.length + copies.length + memsets;

/** Floating-point operations of matrix products; attention kernels' own are not in it. */
export const productFlops = ({ products }: CapturedWork): number =>
  products.reduce((sum, { m, n, k, batch }) => sum + 2 * m * n * k * batch, 0);

/** A demangled kernel in few words: without its namespaces, template arguments and parameters. */
export function shortName(demangled: string): string {
  let depth = 0;
  let plain = '';
  for (const character of demangled.replace(/^void /, '').replaceAll('(anonymous namespace)::', '')) {
    if (character === '<' || character === '(') depth++;
    else if (character === '>' || character === ')') depth--;
    else if (depth === 0) plain += character;
  }
  return plain.trim().split('::').at(-1)!;
}
