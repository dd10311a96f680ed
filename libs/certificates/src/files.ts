import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Authority } from './authority.js';

/** Bundle of trusted authorities in a directory of `writeCertificates`. */
export const CA_FILE = 'ca.crt';

/**
 * `NAME.crt` and `NAME.key` for each name, good for a process of that name on this machine and on a host of that name: URI
 * `spiffe://onepass/NAME`, DNS `NAME` and `localhost`, 127.0.0.1. Each file is replaced in one step.
 */
export function writeCertificates(directory: string, authority: Authority, names: readonly string[], days = 1): void {
  mkdirSync(directory, { recursive: true });
  const notAfter = new Date(Date.now() + days * 86_400_000);
  for (const name of names) {
    const { cert, key } = authority.issue({
      commonName: name,
      uris: [`spiffe://onepass/${name}`],
      dnsNames: [name, 'localhost'],
      ips: ['127.0.0.1'],
      notAfter,
    });
    replace(directory, `${name}.crt`, cert);
    replace(directory, `${name}.key`, key);
  }
}

/** Trusts these authorities from now on. */
export function writeBundle(directory: string, authorities: readonly Authority[]): void {
  mkdirSync(directory, { recursive: true });
  replace(directory, CA_FILE, authorities.map(({ cert }) => cert).join(''));
}

function replace(directory: string, name: string, text: string): void {
  const unfinished = join(directory, `.${name}.new`);
  writeFileSync(unfinished, text, { mode: 0o600 });
  renameSync(unfinished, join(directory, name));
}
