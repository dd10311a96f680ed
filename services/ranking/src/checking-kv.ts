import { OnepassError } from '@onepass/errors';
import type { KvReference } from '@onepass/kv';
import type { Span } from '@onepass/telemetry';

/** Looks up KV within a span that says what came of it. @throws what `read` throws */
export function checkingKv<T>(reference: KvReference, span: Span, read: () => T): T {
  const check = span.child('check_kv', { attributes: { 'onepass.kv.tokens': reference.length } });
  try {
    const found = read();
    check.end();
    return found;
  } catch (error) {
    check.end(OnepassError.from(error).kind);
    throw error;
  }
}
