/**
 * Loaded into a process before its own program (`node --import`). SIGUSR2 begins a CPU profile of the main thread, the next SIGUSR2 ends it.
 * Files in the folder of `FOLDER_VARIABLE` say so: PID.begun, then PID.cpuprofile; each appears whole or not at all.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { type Profiler, Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { FOLDER_VARIABLE, profileFiles } from './profile-files.js';

const INTERVAL_MICROS = 250;

const folder = process.env[FOLDER_VARIABLE];
if (folder !== undefined && isMainThread) process.on('SIGUSR2', () => void turn(folder));

let session: Session | undefined;

async function turn(into: string): Promise<void> {
  const { begun, profile } = profileFiles(process.pid);
  const running = session;
  if (running === undefined) {
    session = new Session();
    session.connect();
    await session.post('Profiler.enable');
    await session.post('Profiler.setSamplingInterval', { interval: INTERVAL_MICROS });
    await session.post('Profiler.start');
    writeWhole(join(into, begun), '');
    return;
  }
  session = undefined;
  const stopped: Profiler.StopReturnType = await running.post('Profiler.stop');
  running.disconnect();
  writeWhole(join(into, profile), JSON.stringify(stopped.profile));
}

function writeWhole(path: string, content: string): void {
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}
