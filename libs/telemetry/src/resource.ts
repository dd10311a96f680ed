import { createRequire } from 'node:module';
import { hostname } from 'node:os';

/** Which process it is that tells, under OpenTelemetry's names. */
export type Resource = Readonly<Record<string, string | number>>;

export function resourceOf(role: string, releaseId: string | undefined): Resource {
  // Here, not at the top: a program bundled into one file has no package.json beside it, and may never ask.
  const { version } = createRequire(import.meta.url)('../package.json') as { version: string };
  return {
    'service.name': `onepass-${role}`,
    'service.version': version,
    'host.name': hostname(),
    'process.pid': process.pid,
    ...(releaseId !== undefined && { 'onepass.release.id': releaseId }),
  };
}
