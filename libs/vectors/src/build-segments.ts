#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { OnepassError, startupError } from '@onepass/errors';
import { buildRelease } from './build.js';

const HELP = `Usage: build-segments <draft directory> [--shards 2] [--partitions N]

Writes the index segments of a release draft that training made and finishes the release: checksums, index, id.
  --shards N      shards the items are divided into by a hash of their id (default 2, 1..1024)
  --partitions N  partitions of a shard (default: about a third of the square root of its items)`;

async function main(args: string[]): Promise<void> {
  const { values, positionals } = readArguments(args);
  if (values.help) return void process.stdout.write(`${HELP}\n`);
  const [directory, ...rest] = positionals;
  if (directory === undefined || rest.length > 0) throw startupError('give one draft directory (see --help)');
  const id = await buildRelease(directory, {
    shards: wholeNumber('--shards', values.shards ?? '2', 1024),
    partitions: values.partitions === undefined ? undefined : wholeNumber('--partitions', values.partitions, 4096),
    progress: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(`${id}\n`);
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { shards: { type: 'string' }, partitions: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
  } catch (error) {
    throw startupError(`${error instanceof Error ? error.message : String(error)} (see --help)`, error);
  }
}

function wholeNumber(option: string, raw: string, maximum: number): number {
  const value = Number(raw);
  if (Number.isInteger(value) && value >= 1 && value <= maximum) return value;
  throw startupError(`${option} must be a whole number from 1 to ${maximum}, not "${raw}"`);
}

main(process.argv.slice(2)).catch((thrown: unknown) => {
  const known = thrown instanceof OnepassError && thrown.kind === 'startup';
  process.stderr.write(known ? `${thrown.message}\n` : `${String((thrown as Error)?.stack ?? thrown)}\n`);
  process.exitCode = 1;
});
