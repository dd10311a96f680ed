import { compactStores, openStores, requireHistory, type StorePlace } from '@onepass/history';
import { repositoryRoot, runCommand } from '@onepass/local';
import { exportLogs } from './export-logs.js';
import { type ExportCommand, HELP, parseOptions } from './options.js';
import { type LeftOut, type ReplayReport, replay, TOLERANCE } from './replay.js';
import type { Scale } from './replay-scale.js';

/** Nobody waits for an export: a store may take its time. */
const STORE_TIMEOUT_MS = 10_000;

/** @returns the exit code */
export function runExport(args: readonly string[]): Promise<number> {
  return runCommand(async () => run(parseOptions(args, repositoryRoot)));
}

async function run(command: ExportCommand): Promise<number> {
  switch (command.kind) {
    case 'help':
      console.log(HELP);
      return 0;
    case 'export':
      return writeExport(command);
    case 'replay':
      return tell(
        await replay({ ...command, progress: (done, of) => line('replay', `${done} of ${of} slates`) }),
        command.directory,
      );
    case 'compact':
      requireHistory(settingsOf(command), '--data');
      await compactStores(settingsOf(command), (what, outcome) => line(what, outcome));
      return 0;
  }
}

async function writeExport(command: ExportCommand & { kind: 'export' }): Promise<number> {
  requireHistory(settingsOf(command), '--data');
  const stores = await openStores(settingsOf(command));
  try {
    const { out, sinceMs } = command;
    const progress = (what: string, rows: number) => line(what, `${rows} rows`);
    const manifest = await exportLogs({ ...stores, out, sinceMs, progress });
    line('slates', `${manifest.slates}, of them ${manifest.slates_with_outcomes} with outcomes`);
    line('events', `${manifest.events} of ${manifest.persons} persons`);
    line('export', out);
    return 0;
  } finally {
    await Promise.all([stores.history.close(), stores.slates.close()]);
  }
}

function settingsOf({ place, dataDir }: { place: StorePlace; dataDir: string }) {
  return { history: place, dataDir, historyTimeoutMs: STORE_TIMEOUT_MS, historyChecked: 'yes' as const };
}

function tell({ whole, longer, leftOut }: ReplayReport, directory: string): number {
  for (const [reason, slates] of Object.entries(leftOut) as [LeftOut, number][]) {
    if (slates > 0) line('left out', `${slates} slates: ${reason}`);
  }
  tellScale('compared', whole);
  if (longer.slates > 0) tellScale('beyond window', longer);
  if (whole.slates + longer.slates === 0) {
    console.error(`${directory} has no slate that can be compared`);
    return 1;
  }
  const equal = differs(whole) === 0;
  line('replay', equal ? `equal within ${TOLERANCE}` : `differs by more than ${TOLERANCE}`);
  return equal ? 0 : 1;
}

function differs({ probabilities, utilities, otherHistories }: Scale): number {
  return Number(probabilities.max > TOLERANCE) + Number(utilities.max > TOLERANCE) + otherHistories;
}

function tellScale(name: string, { slates, otherHistories, ownWeights, probabilities, utilities }: Scale): void {
  const numbers = ({ max, mean }: { max: number; mean: number }) =>
    `max ${max.toExponential(1)}, mean ${mean.toExponential(1)}`;
  line(name, `${slates} slates`);
  line('  probabilities', numbers(probabilities));
  line(
    '  utilities',
    `${numbers(utilities)}${ownWeights > 0 ? `; ${ownWeights} slates had weights of their own` : ''}`,
  );
  if (otherHistories > 0) line('  histories', `${otherHistories} slates were made from another history than this one`);
}

function line(name: string, outcome: string): void {
  console.log(`  ${name.padEnd(18)} ${outcome}`);
}
