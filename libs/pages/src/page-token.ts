import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { RecentValues } from './diversity.js';
import type { Violations } from './fields.js';

/** Items one chain of pages may return; the page that reaches it is the last one. */
export const TOKEN_ITEMS = 1_000;
/** Characters a token may have. Ids of ordinary length stay far below: 1,000 of 12 bytes make 4 KB. */
export const TOKEN_CHARACTERS = 64 * 1024;

/** What a token is good for. Each is any text that says it wholly; only digests travel. */
export interface PageTokenScope {
  readonly person: string;
  /** Surface, context, mode: what the pages are about. */
  readonly context: string;
  readonly filters: string;
  readonly release: string;
}

/** Where a chain of pages stands. */
export interface PageProgress {
  /** Ids of all items returned so far. */
  readonly returned: readonly string[];
  /** Position of the next page's first item. */
  readonly position: number;
  /** What windows of diversity may look back into. */
  readonly recent: RecentValues;
}

/** How the progress lies in a token: its first byte. */
const FORM = { deflated: 2, plain: 3 } as const;
/** Progress of fewer bytes is not deflated: the deflater's 256 KiB of memory, taken and cleared for each, cost more than the page's rules. */
const DEFLATED_FROM_BYTES = 1_024;
const MAC_BYTES = 32;
const DIGEST_BYTES = 8;
const FACETS = ['person', 'context', 'filters', 'release'] as const satisfies readonly (keyof PageTokenScope)[];
const SCOPE_BYTES = FACETS.length * DIGEST_BYTES;
const HEAD_BYTES = 1 + MAC_BYTES + SCOPE_BYTES;
/** TOKEN_ITEMS ids of 128 bytes, each at most 6 as a JSON escape, and as much again for attribute values. */
const PAYLOAD_BYTES = 2 * TOKEN_ITEMS * (128 * 6 + 3);

const FOREIGN: Record<keyof PageTokenScope, string> = {
  person: 'belongs to another person',
  context: 'belongs to another surface, context or mode',
  filters: 'belongs to other filters',
  release: 'belongs to another release; start again from the first page',
};

/**
 * Token for the page after `progress`: form, HMAC-SHA256, a digest of each facet of the scope, and the progress, deflated where it is long,
 * in URL-safe base64. Undefined when the chain has reached its cap of items or the token that of characters.
 */
export function sealPageToken(key: Uint8Array, scope: PageTokenScope, progress: PageProgress): string | undefined {
  if (progress.returned.length >= TOKEN_ITEMS) return undefined;
  const json = Buffer.from(JSON.stringify([progress.position, progress.returned, [...progress.recent]]));
  if (json.length > PAYLOAD_BYTES) return undefined;
  const form = json.length < DEFLATED_FROM_BYTES ? FORM.plain : FORM.deflated;
  // Level 1: a full token takes 36 us instead of 110, at the same size.
  const payload = form === FORM.plain ? json : deflateRawSync(json, { level: 1 });
  const bytes = Buffer.concat([Buffer.of(form), Buffer.alloc(MAC_BYTES), scopeDigests(scope), payload]);
  mac(key, bytes).copy(bytes, 1);
  const token = bytes.toString('base64url');
  return token.length > TOKEN_CHARACTERS ? undefined : token;
}

/** Progress that the token carries; undefined with a violation of `page_token` when it is broken, tampered with or foreign. */
export function openPageToken(
  key: Uint8Array,
  scope: PageTokenScope,
  token: string,
  violations: Violations,
): PageProgress | undefined {
  const refuse = (description: string) => {
    violations.add('page_token', description);
    return undefined;
  };
  if (token.length > TOKEN_CHARACTERS) return refuse(`is longer than ${TOKEN_CHARACTERS} characters`);
  const bytes = Buffer.from(token, 'base64url');
  // Node skips characters that are not base64: only the one spelling that we wrote counts.
  if (bytes.length <= HEAD_BYTES || bytes.toString('base64url') !== token) return refuse('is broken');
  const form = bytes[0];
  if (form !== FORM.plain && form !== FORM.deflated)
    return refuse('is of another version; start again from the first page');
  if (!timingSafeEqual(bytes.subarray(1, 1 + MAC_BYTES), mac(key, bytes))) return refuse('is broken');
  const facet = foreignFacet(scope, bytes.subarray(1 + MAC_BYTES, HEAD_BYTES));
  if (facet !== undefined) return refuse(FOREIGN[facet]);
  const carried = bytes.subarray(HEAD_BYTES);
  const payload = form === FORM.plain ? carried : inflateRawSync(carried, { maxOutputLength: PAYLOAD_BYTES });
  const [position, returned, recent] = JSON.parse(payload.toString()) as [number, string[], [string, string[][]][]];
  return { position, returned, recent: new Map(recent) };
}

/** Over everything but the place of the MAC itself. */
function mac(key: Uint8Array, bytes: Buffer): Buffer {
  return createHmac('sha256', key)
    .update(bytes.subarray(0, 1))
    .update(bytes.subarray(1 + MAC_BYTES))
    .digest();
}

function scopeDigests(scope: PageTokenScope): Buffer {
  const digests = FACETS.map((facet) => hash('sha256', scope[facet], 'buffer').subarray(0, DIGEST_BYTES));
  return Buffer.concat(digests, SCOPE_BYTES);
}

function foreignFacet(scope: PageTokenScope, carried: Buffer): keyof PageTokenScope | undefined {
  const own = scopeDigests(scope);
  return FACETS.find((_, i) => {
    const at = i * DIGEST_BYTES;
    return own.compare(carried, at, at + DIGEST_BYTES, at, at + DIGEST_BYTES) !== 0;
  });
}
