import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { bits, boolean, element, explicit, implicit, integer, octets, oid, sequence, set, time, utf8 } from './der.js';

export interface CertificateRequest {
  readonly commonName?: string;
  /** Alternative names. IPv4 addresses only. */
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ips?: readonly string[];
  /** Absent: an hour ago. */
  readonly notBefore?: Date;
  /** Absent: in a day. */
  readonly notAfter?: Date;
}

/** A certificate and its private key, as PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority that lives in memory. */
export interface Authority {
  /** Its own certificate, as PEM: what others must trust. */
  readonly cert: string;
  /** A certificate for servers and clients, with a key of its own. */
  issue(request: CertificateRequest): KeyPair;
}

const HOUR_MS = 3_600_000;
const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));

/** ECDSA over P-256 throughout. */
export function createAuthority(commonName: string, days = 365): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keyId = createHash('sha1')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  const own = { subject: nameOf(commonName), publicKey };
  const signed = (certificate: Omit<ToBeSigned, 'issuer'>) =>
    signCertificate({ ...certificate, issuer: own.subject }, privateKey);
  return {
    cert: signed({
      ...own,
      notBefore: new Date(Date.now() - HOUR_MS),
      notAfter: new Date(Date.now() + days * 24 * HOUR_MS),
      extensions: [
        extension('2.5.29.19', sequence(boolean(true)), true),
        extension('2.5.29.15', bits(Buffer.from([0b0000_0110]), 1), true),
        extension('2.5.29.14', octets(keyId)),
      ],
    }),
    issue: (request) => {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const alternatives = alternativeNames(request);
      const cert = signed({
        subject: nameOf(request.commonName),
        publicKey: pair.publicKey,
        notBefore: request.notBefore ?? new Date(Date.now() - HOUR_MS),
        notAfter: request.notAfter ?? new Date(Date.now() + 24 * HOUR_MS),
        extensions: [
          extension('2.5.29.15', bits(Buffer.from([0b1000_0000]), 7), true),
          extension('2.5.29.37', sequence(oid('1.3.6.1.5.5.7.3.1'), oid('1.3.6.1.5.5.7.3.2'))),
          extension('2.5.29.35', sequence(implicit(0, keyId))),
          ...(alternatives.length > 0 ? [extension('2.5.29.17', sequence(...alternatives))] : []),
        ],
      });
      return { cert, key: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
    },
  };
}

interface ToBeSigned {
  readonly subject: Buffer;
  readonly issuer: Buffer;
  readonly publicKey: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions: readonly Buffer[];
}

function signCertificate(certificate: ToBeSigned, key: KeyObject): string {
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_SHA256,
    certificate.issuer,
    sequence(time(certificate.notBefore), time(certificate.notAfter)),
    certificate.subject,
    certificate.publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(...certificate.extensions)),
  );
  const lines = sequence(body, ECDSA_SHA256, bits(sign('sha256', body, key)))
    .toString('base64')
    .match(/.{1,64}/g);
  return `-----BEGIN CERTIFICATE-----\n${lines?.join('\n')}\n-----END CERTIFICATE-----\n`;
}

function nameOf(commonName: string | undefined): Buffer {
  return commonName === undefined ? sequence() : sequence(set(sequence(oid('2.5.4.3'), utf8(commonName))));
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value));
}

function alternativeNames({ uris = [], dnsNames = [], ips = [] }: CertificateRequest): Buffer[] {
  const wrong = ips.find((ip) => !isIPv4(ip));
  if (wrong !== undefined) throw new Error(`${wrong} is not an IPv4 address`);
  return [
    ...uris.map((uri) => implicit(6, Buffer.from(uri))),
    ...dnsNames.map((name) => implicit(2, Buffer.from(name))),
    ...ips.map((ip) => element(0x87, Buffer.from(ip.split('.').map(Number)))),
  ];
}
