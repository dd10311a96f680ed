import { spawn } from 'node:child_process';
import { root } from './paths.mjs';

/** A reason to stop that is the reader's business: printed as one sentence, without a stack. */
export class Stop extends Error {}

const colours = process.stdout.isTTY === true && !process.env.NO_COLOR;
/** @param {string} text */
export const bold = (text) => (colours ? `\x1b[1m${text}\x1b[0m` : text);
/** @param {string} text */
export const green = (text) => (colours ? `\x1b[32m${text}\x1b[0m` : text);
/** @param {string} text */
export const red = (text) => (colours ? `\x1b[31m${text}\x1b[0m` : text);
/** @param {string} text */
export const dim = (text) => (colours ? `\x1b[2m${text}\x1b[0m` : text);

/** @param {number} since epoch milliseconds */
export const elapsed = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/**
 * One aligned line of progress.
 * @param {string} name
 * @param {string} outcome
 */
export function report(name, outcome) {
  console.log(`  ${name.padEnd(18)} ${outcome}`);
}

/**
 * Runs a command to its end, showing what it prints.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string>, cwd?: string }} [options]
 * @returns {Promise<number>} its exit code; 127 when it could not be started
 */
export function runVisibly(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.on('error', () => resolve(127));
    child.on('close', (code) => resolve(code ?? 1));
  });
}

/**
 * Runs a command to its end and keeps what it prints.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string>, cwd?: string }} [options]
 * @returns {Promise<{ code: number, output: string }>} exit code (127: could not be started), stdout and stderr as they came
 */
export function runQuietly(command, args, options = {}) {
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const collect = (/** @type {Buffer} */ chunk) => {
      output += chunk.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', (error) => resolve({ code: 127, output: error.message }));
    child.on('close', (code) => resolve({ code: code ?? 1, output }));
  });
}

/**
 * The frame of every script: a Stop ends it with its sentence and exit code 1, anything else is a defect and shows its stack.
 * @param {() => Promise<void>} work
 */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    console.error(error instanceof Stop ? error.message : error);
    process.exit(1);
  }
}
