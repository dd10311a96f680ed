/**
 * Machine code for GPUs lies in a library as "fat binaries": a header (magic, version, its size, size of what follows), then images, each with a header
 * of its own (kind, version, its size, size of its data, and further on the compute capability that it is for). The driver takes the image that fits and
 * looks into no other.
 */
const MAGIC = Buffer.from([0x50, 0xed, 0x55, 0xba]);
const HEADER_BYTES = 16;
const CAPABILITY_AT = 28;
const MACHINE_CODE = 2;

/**
 * Zeroes the images of all other compute capabilities in place, so that the library compresses to less for a machine of one kind. Its size and every
 * place in it stay as they are.
 * @param {Buffer} library
 * @param {number} capability as 90 of an H100
 * @returns {{ kept: number, zeroed: number, found: readonly number[] }} bytes of images, and the capabilities that there are
 */
export function keepCapability(library, capability) {
  let [kept, zeroed] = [0, 0];
  /** @type {Set<number>} */
  const found = new Set();
  for (const image of imagesOf(library)) {
    found.add(image.capability);
    if (image.capability === capability) kept += image.to - image.from;
    else {
      library.fill(0, image.from, image.to);
      zeroed += image.to - image.from;
    }
  }
  return { kept, zeroed, found: [...found].sort((a, b) => a - b) };
}

/**
 * @param {Buffer} library
 * @returns {{ capability: number, from: number, to: number }[]} where the data of each image of machine code lies
 */
export function imagesOf(library) {
  const images = [];
  for (let at = library.indexOf(MAGIC); at !== -1; at = library.indexOf(MAGIC, at + 4)) {
    const end = endOf(library, at);
    if (end === undefined) continue;
    for (let image = at + HEADER_BYTES; image < end; ) {
      const from = image + library.readUInt32LE(image + 4);
      const to = from + Number(library.readBigUInt64LE(image + 8));
      const capability = library.readUInt32LE(image + CAPABILITY_AT);
      if (library.readUInt16LE(image) === MACHINE_CODE) images.push({ capability, from, to });
      image = to;
    }
  }
  return images;
}

/**
 * Of a whole fat binary, the images of which add up to its size; undefined where only the magic number is like one.
 * @param {Buffer} library
 * @param {number} at
 */
function endOf(library, at) {
  if (at + HEADER_BYTES > library.length) return undefined;
  const [version, header] = [library.readUInt16LE(at + 4), library.readUInt16LE(at + 6)];
  const end = at + HEADER_BYTES + Number(library.readBigUInt64LE(at + 8));
  if (version !== 1 || header !== HEADER_BYTES || end > library.length) return undefined;
  let image = at + HEADER_BYTES;
  while (image + CAPABILITY_AT + 4 <= end) {
    const header = library.readUInt32LE(image + 4);
    if (header < CAPABILITY_AT + 4) return undefined;
    image += header + Number(library.readBigUInt64LE(image + 8));
  }
  return image === end ? end : undefined;
}
