import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { createAuthority } from './authority.js';

test('a certificate says what was asked for and is signed by its authority', () => {
  const authority = createAuthority('Test CA');
  const request = { commonName: 'stage', uris: ['spiffe://a/b'], dnsNames: ['stage.example'], ips: ['127.0.0.1'] };
  const pair = authority.issue({ ...request, notAfter: new Date('2061-02-03T04:05:06Z') });
  const [leaf, ca] = [new X509Certificate(pair.cert), new X509Certificate(authority.cert)];
  expect([leaf.subject, leaf.issuer]).toEqual(['CN=stage', 'CN=Test CA']);
  expect(leaf.subjectAltName).toBe('URI:spiffe://a/b, DNS:stage.example, IP Address:127.0.0.1');
  expect(new Date(leaf.validTo).toISOString()).toBe('2061-02-03T04:05:06.000Z');
  expect([leaf.ca, ca.ca, leaf.checkIssued(ca), leaf.verify(ca.publicKey)]).toEqual([false, true, true, true]);
  expect(() => authority.issue({ ips: ['::1'] })).toThrow('::1 is not an IPv4 address');
});

test('OpenSSL takes them on both ends of a connection', async () => {
  const authority = createAuthority('Test CA');
  const [server, client] = [
    authority.issue({ dnsNames: ['stage.example'] }),
    authority.issue({ uris: ['spiffe://a/b'] }),
  ];
  const ca = authority.cert;
  const listening = createServer({ ...server, ca, requestCert: true }).listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const { port } = listening.address() as AddressInfo;
  const socket = connect({ ...client, ca, host: '127.0.0.1', port, servername: 'stage.example' });
  const [[accepted]] = await Promise.all([once(listening, 'secureConnection'), once(socket, 'secureConnect')]);
  expect([socket.authorized, (accepted as TLSSocket).authorized]).toEqual([true, true]);
  socket.destroy();
  listening.close();
});
