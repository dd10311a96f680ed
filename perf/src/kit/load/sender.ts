import type { Readable } from 'node:stream';
import type { SentCall } from './seen.js';

/** Whoever sends a load: a process of its own, so that what it costs can be told, and its lateness is its own. */
export interface Sender {
  readonly pid: number;
  /** When its load began, epoch ms. */
  readonly beganMs: number;
  /** What it saw, when all is answered or it ended before. @throws OnepassError `startup` when it could not send at all */
  readonly finished: Promise<SenderReport>;
}

export interface SenderReport {
  readonly calls: readonly SentCall[];
  readonly actions?: ActionsSeen;
  /** Sentences about what the figures do not show. */
  readonly notes: readonly string[];
  /** Why it ended before its time. */
  readonly cutShort?: string | undefined;
}

/** Actions that a trace logged, newcomers' histories among them. */
export interface ActionsSeen {
  readonly sent: number;
  /** On disk, as the server said. */
  readonly acknowledged: number;
  readonly refused: number;
  /** By gRPC status of the call they were in. */
  readonly failed: Readonly<Record<string, number>>;
  /** Meant for an item of a page that was not answered yet, or not at all: done on another item. */
  readonly misplaced: number;
}

/** Why a child process that should have finished did not: for a sentence. */
export function endOf(code: number | null, signal: NodeJS.Signals | null): string {
  return signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
}

/** What a child said of its error, in one line; empty when it said nothing. */
export function lastWords(stderr: Readable | null): () => string {
  let text = '';
  stderr?.setEncoding('utf8').on('data', (part: string) => {
    text = (text + part).slice(-10_000);
  });
  return () => /^\w*Error: .*$/m.exec(text)?.[0] ?? lastLine(text);
}

export function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
