import { ARRAYS, graphDefect, type TensorSpec } from '../tensors.js';
import type { Dimensions, HostArray, Resident } from './device.js';

/** One input or output of a prepared run. */
export interface BoundTensor {
  readonly spec: TensorSpec;
  readonly shape: readonly number[];
  /** Of its numbers; 0 when a dimension is 0. */
  readonly bytes: number;
}

/** A sentence's part: `b=8, g=62`. */
export function describeDimensions(dimensions: Dimensions): string {
  return Object.entries(dimensions)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
}

/**
 * Shapes of all inputs and outputs with every named dimension replaced by its value.
 * @throws OnepassError `internal`; its cause says which dimension or resident tensor does not fit
 */
export function bindShapes(
  graph: string,
  specs: { readonly inputs: readonly TensorSpec[]; readonly outputs: readonly TensorSpec[] },
  dimensions: Dimensions,
  resident: Resident,
): { readonly inputs: readonly BoundTensor[]; readonly outputs: readonly BoundTensor[] } {
  const used = new Set<string>();
  const bind = (side: string) => (spec: TensorSpec) => {
    const what = `graph ${graph}: ${side} "${spec.name}"`;
    const shape = spec.shape.map((d) => (typeof d === 'number' ? d : dimensionOf(what, d, dimensions, used)));
    const { BYTES_PER_ELEMENT } = ARRAYS[spec.element ?? 'float32'];
    const bytes = shape.reduce((size, d) => size * d, BYTES_PER_ELEMENT);
    const buffer = resident[spec.name];
    if (buffer !== undefined && buffer.bytes < bytes)
      throw graphDefect(`${what} of shape [${shape}] takes ${bytes} bytes, its resident buffer has ${buffer.bytes}`);
    return { spec, shape, bytes };
  };
  const bound = { inputs: specs.inputs.map(bind('input')), outputs: specs.outputs.map(bind('output')) };
  const names = [...specs.inputs, ...specs.outputs].map((spec) => spec.name);
  for (const name of Object.keys(resident))
    if (!names.includes(name))
      throw graphDefect(`graph ${graph}: resident "${name}" is not one of ${names.join(', ')}`);
  for (const name of Object.keys(dimensions))
    if (!used.has(name)) throw graphDefect(`graph ${graph} has no dimension "${name}"`);
  return bound;
}

/** The tensor's numbers in `buffer`, from its first byte. */
export function viewOf({ spec, shape }: BoundTensor, buffer: ArrayBuffer): HostArray {
  return new ARRAYS[spec.element ?? 'float32'](
    buffer,
    0,
    shape.reduce((size, d) => size * d, 1),
  );
}

function dimensionOf(what: string, name: string, dimensions: Dimensions, used: Set<string>): number {
  const value = dimensions[name];
  if (value === undefined) throw graphDefect(`${what} has dimension "${name}", which was given no value`);
  if (!Number.isSafeInteger(value) || value < 0) throw graphDefect(`dimension "${name}" is ${value}`);
  used.add(name);
  return value;
}
