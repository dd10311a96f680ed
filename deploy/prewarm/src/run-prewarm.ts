import { transportOf } from '@onepass/contracts';
import { openHistory, requireHistory, type StorePlace } from '@onepass/history';
import { repositoryRoot, runCommand } from '@onepass/local';
import { loadRelease } from '@onepass/release';
import type { Cost } from './cost.js';
import { HELP, type PrewarmOptions, parseOptions } from './options.js';
import { type PrewarmReport, type PrewarmTelling, prewarm } from './prewarm.js';
import { smoke } from './smoke.js';

const INTERRUPTED = 130;
/** Nobody waits for it: a store may take its time. */
const STORE_TIMEOUT_MS = 10_000;

/** @returns the exit code: 0 when everybody was reached, 1 when not, 130 when interrupted */
export function runPrewarm(args: readonly string[]): Promise<number> {
  return runCommand(async () => {
    const command = parseOptions(args, repositoryRoot, process.env);
    if (command.kind === 'help') {
      console.log(HELP);
      return 0;
    }
    return command.kind === 'smoke' ? smoke(command.releaseDir, warm) : warm(command);
  });
}

export async function warm(options: PrewarmOptions): Promise<number> {
  const { place, dataDir, releaseDir } = options;
  // It only reads: what is durable is the mesh's business.
  const stores = {
    history: place,
    dataDir,
    historyTimeoutMs: STORE_TIMEOUT_MS,
    historyChecked: 'yes' as const,
  };
  requireHistory(stores, '--data');
  const release = await loadRelease(releaseDir);
  const { signal, end } = stopSignal();
  // It listens nowhere.
  const transport = transportOf({ ...process.env, ONEPASS_HOST: '127.0.0.1' });
  try {
    const history = await openHistory(stores);
    try {
      const historyName = nameOf(place, dataDir);
      return tellReport(
        await prewarm(options, { history, historyName, release, transport, signal, tell: told(options) }),
      );
    } finally {
      await history.close();
    }
  } finally {
    transport.close();
    end();
  }
}

function nameOf(place: StorePlace, dataDir: string): string {
  return place === 'lmdb' ? dataDir : 'the Redis of ONEPASS_HISTORY';
}

/** The first signal ends the work; the second the process, as signals do. */
function stopSignal(): { readonly signal: AbortSignal; end(): void } {
  const controller = new AbortController();
  const stop = () => controller.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, stop);
  return {
    signal: controller.signal,
    end: () => {
      for (const signal of signals) process.off(signal, stop);
    },
  };
}

function told({ rate }: PrewarmOptions): PrewarmTelling {
  return {
    chosen: ({ name, holds, bytes }, { chosen, active }) => {
      const memory = bytes === undefined ? '' : ` in ${mebibytes(bytes)}`;
      const room = holds === undefined ? '' : `; its KV holds ${number(holds)}${memory}, at most`;
      line('cell', `${name}: ${number(chosen)} of ${number(active)} active people${room}`);
    },
    calibrated: ({ people, encodedTokens, computeMs, callMs }) => {
      const each = people === 0 ? 0 : callMs / people;
      line(
        'calibration',
        `${people} people: ${number(encodedTokens)} tokens encoded in ${computeMs.toFixed(0)} ms of graphs, ${each.toFixed(1)} ms a call`,
      );
    },
    cost: (cost) => line('cost', costText(cost, rate)),
    progress: (done, people) => line('progress', `${number(done)} of ${number(people)} people`),
  };
}

function costText({ people, tokens, kvBytes, computeSeconds, seconds }: Cost, rate: number): string {
  const kv = `${mebibytes(kvBytes)} of KV`;
  return `${number(people)} people, ${number(tokens)} tokens, ${kv}; ${computeSeconds.toFixed(1)} s in graphs, ${seconds.toFixed(1)} s in all at ${rate} a second and cell`;
}

function tellReport({ people, tally, seconds, ended }: PrewarmReport): number {
  if (people === 0) {
    line('prewarm', 'nobody was active: nothing to do');
    return ended === 'interrupted' ? INTERRUPTED : 0;
  }
  const { encoded, restored, held, appended, empty, refused, failed } = tally.people;
  const already = held + appended;
  line('encoded', restored === 0 ? number(encoded) : `${number(encoded)}, and ${number(restored)} from the warm tier`);
  line('held already', `${number(already)}: ${number(held)} as they are, ${number(appended)} with new actions added`);
  line('empty', number(empty));
  line('refused', number(refused));
  line('failed', number(failed));
  const left = people - tally.done;
  if (left > 0) line('not asked for', number(left));
  for (const reason of tally.reasons.values()) console.error(reason);
  const warm = encoded + restored + already;
  const share = warm === 0 ? 0 : already / warm;
  const speed = `${number(tally.done)} people in ${seconds.toFixed(1)} s, ${(tally.done / seconds).toFixed(1)} a second`;
  line('prewarm', `${speed}, ${(100 * share).toFixed(0)}% held already${ended === 'whole' ? '' : `; ${ended}`}`);
  if (ended === 'interrupted') return INTERRUPTED;
  return refused + failed === 0 && (left === 0 || ended === 'dry run') ? 0 : 1;
}

const number = (value: number) => value.toLocaleString('en-US');
const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function line(name: string, outcome: string): void {
  console.log(`  ${name.padEnd(18)} ${outcome}`);
}
