/** The part of node's tls.PeerCertificate that names its holder. */
export interface CertificateNames {
  readonly subject?: { readonly CN?: string | readonly string[] };
  readonly subjectaltname?: string | undefined;
}

/**
 * What a verified certificate says its holder is: URI names, then DNS names; its common name only where it has neither (RFC 6125). None
 * when the names cannot be read without doubt.
 */
export function identitiesOf({ subject, subjectaltname }: CertificateNames): readonly string[] {
  const names = alternativeNames(subjectaltname ?? '');
  if (names === undefined) return [];
  const identities = ['URI', 'DNS'].flatMap((type) => names.filter((n) => n.type === type).map((n) => n.value));
  if (identities.length > 0) return identities;
  return typeof subject?.CN === 'string' ? [subject.CN] : [];
}

/** node writes `URI:a, DNS:b`, and a value that could be taken for more than one as a JSON string: `DNS:"a, DNS:b"`. */
const ALTERNATIVE_NAME = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/** Undefined when any part of the text is not as expected: nobody is let in by a guess. */
function alternativeNames(text: string): { type: string; value: string }[] | undefined {
  const names: { type: string; value: string }[] = [];
  let at = 0;
  while (at < text.length) {
    ALTERNATIVE_NAME.lastIndex = at;
    const match = ALTERNATIVE_NAME.exec(text);
    if (match === null) return undefined;
    const [whole, type = '', raw = ''] = match;
    const value = raw.startsWith('"') ? unquoted(raw) : raw;
    if (value === undefined) return undefined;
    names.push({ type, value });
    at += whole.length;
  }
  return names;
}

function unquoted(raw: string): string | undefined {
  try {
    return String(JSON.parse(raw));
  } catch {
    return undefined;
  }
}
