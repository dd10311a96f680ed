import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type BundledProgram, bundleProgram } from '@onepass/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openLmdbHistory } from './index.js';

const PERSON = 'c'.repeat(32);
const directory = mkdtempSync(join(tmpdir(), 'onepass-durability-'));
let writer: BundledProgram;

beforeAll(async () => {
  writer = await bundleProgram(new URL('./writer.program.ts', import.meta.url));
});
afterAll(() => {
  writer.remove();
  rmSync(directory, { recursive: true, force: true });
});

/** Lets a writer acknowledge `writes` times, kills it at that moment, and answers every acknowledgement it sent. */
async function killAfter(writes: number, round: number, person = PERSON): Promise<string[]> {
  const child = spawn(process.execPath, [writer.path, 'lmdb', directory, person, String(round)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const acknowledged: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    acknowledged.push(line);
    if (acknowledged.length === writes) child.kill('SIGKILL');
  }
  const [, signal] = await closed;
  expect(signal).toBe('SIGKILL');
  return acknowledged;
}

test('a writer killed at the moment of acknowledgement loses nothing and leaves no gap, 30 times', async () => {
  const reader = openLmdbHistory(join(directory, 'history'));
  const acknowledged: string[] = [];
  for (let round = 0; round < 30; round++) {
    acknowledged.push(...(await killAfter(1 + (round % 5), round)));
    // The reader was open all along, as the user-encoder is.
    const head = await reader.head(PERSON);
    const { events } = await reader.tail(PERSON, 0, head.sequence);
    expect(events.map((e) => e.sequence)).toEqual(Array.from({ length: head.sequence }, (_, i) => i + 1));
    // Writes hold two events each: all or nothing.
    expect(head.sequence % 2).toBe(0);
    const held = new Set(events.map((e) => `${e.sequence} ${e.hash}`));
    for (const line of acknowledged) expect(held).toContain(line);
  }
  expect(acknowledged.length).toBeGreaterThanOrEqual(90);
  await reader.close();
}, 120_000);

test('two processes that write one person at once give each sequence once', async () => {
  const person = 'd'.repeat(32);
  const told = await Promise.all([killAfter(100, 1, person), killAfter(100, 2, person)]);
  const reader = openLmdbHistory(join(directory, 'history'));
  const { head, events } = await reader.tail(person, 0, 10_000);
  expect(events.map((e) => e.sequence)).toEqual(Array.from({ length: head.sequence }, (_, i) => i + 1));
  expect(events.at(-1)!.hash).toBe(head.hash);
  const held = new Map(events.map((e) => [`${e.sequence} ${e.hash}`, e.eventId]));
  // An acknowledgement names the head of its own write: the second of two events of that writer.
  told.forEach((lines, i) => {
    for (const line of lines) expect(held.get(line)).toMatch(new RegExp(`^${i + 1}-\\d+-1$`));
  });
  expect(new Set(told.flat()).size).toBe(told.flat().length);
  await reader.close();
});
