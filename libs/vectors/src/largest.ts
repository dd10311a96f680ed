/** As many bits of a product as are told apart. */
const BUCKET_BITS = 11;
const counts = new Uint32Array(1 << BUCKET_BITS);

/**
 * Moves to the front those of the first `count` positions whose products are the `wanted` largest, in no order that means anything,
 * and answers how many: more than `wanted` where others come within 1/1024 of the range of all products to the last of them; all, where
 * there are no more. Counts the products by their leading bits, which needs no comparison and two passes.
 * @param products int32 by position
 */
export function keepLargest(products: Int32Array, positions: Uint32Array, count: number, wanted: number): number {
  if (count <= wanted) return count;
  let largest = products[positions[0]!]!;
  let smallest = largest;
  for (let i = 1; i < count; i++) {
    const product = products[positions[i]!]!;
    if (product > largest) largest = product;
    else if (product < smallest) smallest = product;
  }
  const shift = Math.max(0, 32 - BUCKET_BITS - Math.clz32(largest - smallest));
  counts.fill(0);
  for (let i = 0; i < count; i++) counts[(largest - products[positions[i]!]!) >>> shift]!++;
  let below = 0;
  for (let bucket = 0, held = 0; held < wanted; bucket++) {
    held += counts[bucket]!;
    below = (bucket + 1) * 2 ** shift;
  }
  const least = largest - below;
  let kept = 0;
  for (let i = 0; i < count; i++) {
    const position = positions[i]!;
    if (products[position]! > least) positions[kept++] = position;
  }
  return kept;
}
