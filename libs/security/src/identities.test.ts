import { X509Certificate } from 'node:crypto';
import { createAuthority } from '@onepass/certificates';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { identitiesOf } from './identities.js';

const authority = createAuthority('Test CA');

/** As a connection would show it. */
function namesOf(request: Parameters<typeof authority.issue>[0]) {
  const { subjectAltName, subject } = new X509Certificate(authority.issue(request).cert);
  const commonName = /^CN=(.*)$/m.exec(subject ?? '')?.[1];
  return { subjectaltname: subjectAltName, subject: commonName === undefined ? {} : { CN: commonName } };
}

test('URI names come first, then DNS names; the common name counts only alone', () => {
  const both = { commonName: 'c', dnsNames: ['d.example', 'e.example'], uris: ['spiffe://a/b'], ips: ['127.0.0.1'] };
  expect(identitiesOf(namesOf(both))).toEqual(['spiffe://a/b', 'd.example', 'e.example']);
  expect(identitiesOf(namesOf({ commonName: 'c', ips: ['127.0.0.1'] }))).toEqual(['c']);
  expect(identitiesOf(namesOf({}))).toEqual([]);
  expect(identitiesOf({ subject: { CN: ['two', 'names'] } })).toEqual([]);
});

test('a name that spells another name is only itself', () => {
  const spelt = ['spiffe://a, DNS:gateway', 'a", DNS:gateway, URI:"', 'x\\", DNS:gateway', 'gateway\n, DNS:gateway'];
  for (const uri of spelt) expect(identitiesOf(namesOf({ uris: [uri] }))).not.toContain('gateway');
  const ascii = fc.string({ unit: fc.constantFrom(...'aDNSURI:,"\\ \n='), maxLength: 40 });
  fc.assert(
    fc.property(ascii, (uri) => {
      const identities = identitiesOf(namesOf({ uris: [uri] }));
      expect(identities.every((identity) => identity === uri)).toBe(true);
    }),
    { seed: 9, numRuns: 200 },
  );
});

test('text that is not understood names nobody', () => {
  for (const subjectaltname of ['gateway', 'DNS:a,DNS:gateway', 'DNS:"a', 'DNS:"\\q"', 'DNS:a"b, DNS:gateway']) {
    expect(identitiesOf({ subjectaltname, subject: { CN: 'gateway' } })).toEqual([]);
  }
});
