/**
 * Symmetric int8: value ~ byte x scale with scale = largest magnitude / 127, so the worst error is scale / 2.
 * Writes `out` (as long as `row`) and answers the scale; a row of zeros has scale 0. `row` must be finite.
 */
export function quantiseI8(row: Float32Array, out: Int8Array): number {
  let largest = 0;
  for (let i = 0; i < row.length; i++) largest = Math.max(largest, Math.abs(row[i]!));
  const scale = Math.fround(largest / 127);
  // A subnormal row whose scale rounds to nothing is nothing in int8.
  if (scale === 0) {
    out.fill(0, 0, row.length);
    return 0;
  }
  for (let i = 0; i < row.length; i++) out[i] = Math.max(-127, Math.min(127, Math.round(row[i]! / scale)));
  return scale;
}
