import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { startupError } from '@onepass/errors';
import type { NamedFile } from './watch-files.js';

/** Where a process's certificate, its key and the authorities it trusts lie, each a PEM file. */
export interface TlsFiles {
  /** Certificates that others' certificates must chain to. */
  readonly ca: NamedFile;
  /** The process's own certificate, with intermediate ones after it, and its key. Absent: it shows none. */
  readonly own?: { readonly cert: NamedFile; readonly key: NamedFile };
}

/** Contents that have been checked to fit together. */
export interface TlsMaterial {
  readonly ca: Buffer;
  readonly own?: { readonly cert: Buffer; readonly key: Buffer };
  /** Epoch ms from when on the own certificate is worth nothing; Infinity without one. */
  readonly expiresMs: number;
}

export function filesOf({ ca, own }: TlsFiles): readonly NamedFile[] {
  return own === undefined ? [ca] : [ca, own.cert, own.key];
}

/**
 * @param contents of `filesOf(files)`
 * @throws OnepassError `startup`: one sentence naming the setting and the file
 */
export function checkTls(files: TlsFiles, contents: readonly Buffer[], nowMs: number): TlsMaterial {
  const [ca, cert, key] = contents as [Buffer, Buffer?, Buffer?];
  const authorities = certificatesIn(files.ca, ca);
  if (!authorities.some((authority) => validityProblem(authority, nowMs) === undefined)) {
    throw problem(
      files.ca,
      `holds no certificate that is valid now: the first ${validityProblem(authorities[0], nowMs)}`,
    );
  }
  if (files.own === undefined || cert === undefined || key === undefined) return { ca, expiresMs: Infinity };
  const chain = certificatesIn(files.own.cert, cert);
  for (const certificate of chain) {
    const invalid = validityProblem(certificate, nowMs);
    if (invalid !== undefined) throw problem(files.own.cert, `the certificate of ${holderOf(certificate)} ${invalid}`);
  }
  if (!chain[0]?.checkPrivateKey(privateKey(files.own.key, key))) {
    throw problem(files.own.key, `does not fit the certificate in ${files.own.cert.path}`);
  }
  return { ca, own: { cert, key }, expiresMs: Math.min(...chain.map(({ validTo }) => Date.parse(validTo))) };
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** At least one. */
function certificatesIn(file: NamedFile, content: Buffer): readonly X509Certificate[] {
  const blocks = content.toString('latin1').match(PEM_CERTIFICATE);
  if (blocks === null) throw problem(file, 'holds no PEM certificate');
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw problem(file, 'holds a certificate that cannot be read', error);
  }
}

function privateKey(file: NamedFile, content: Buffer): KeyObject {
  try {
    return createPrivateKey(content);
  } catch (error) {
    throw problem(file, 'holds no PEM private key without a passphrase', error);
  }
}

function validityProblem(certificate: X509Certificate | undefined, nowMs: number): string | undefined {
  const { validFrom = '', validTo = '' } = certificate ?? {};
  if (nowMs >= Date.parse(validTo)) return `expired on ${validTo}`;
  return nowMs < Date.parse(validFrom) ? `is valid from ${validFrom} only` : undefined;
}

function holderOf({ subject, subjectAltName }: X509Certificate): string {
  return JSON.stringify(subject || subjectAltName || 'nobody');
}

function problem({ name, path }: NamedFile, sentence: string, cause?: unknown) {
  return startupError(`${name}: ${path}: ${sentence}`, cause);
}
