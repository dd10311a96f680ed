/** Bytes of chance in a slate id: 96 bits beside the millisecond. */
export const SLATE_ENTROPY_BYTES = 12;

/**
 * Id of a page as served: sorts by time, cannot be guessed, at most 27 characters.
 * @param entropy at least SLATE_ENTROPY_BYTES random bytes
 */
export function slateId(nowMs: number, entropy: Uint8Array): string {
  const chance = Buffer.from(entropy.buffer, entropy.byteOffset, SLATE_ENTROPY_BYTES).toString('base64url');
  return `s-${nowMs.toString(36).padStart(9, '0')}${chance}`;
}
