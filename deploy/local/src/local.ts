import { join } from 'node:path';
import { styleText } from 'node:util';
import { connect } from '@onepass/client';
import { runCommand } from './command.js';
import { callItLines, exampleOf } from './demo/call-it.js';
import { runDemo } from './demo/demo.js';
import type { Screen } from './demo/screen.js';
import { ensureDeviceGraphs, precisionOf } from './device-graphs.js';
import { Mesh, repositoryRoot } from './mesh.js';
import { HELP, type LocalOptions, parseOptions } from './options.js';
import { ensurePythonOf } from './python.js';
import type { SupervisorEvent } from './supervisor.js';
import { whichDevice } from './which-device.js';

const INTERRUPTED = 130;

/**
 * The mesh on this machine from start to stop, as the command line asks for it.
 * @param since epoch ms from which the start is timed
 * @returns the exit code, when nothing runs any more
 */
export function runLocal(args: readonly string[], since: number): Promise<number> {
  return runCommand(async () => {
    const options = parseOptions(args, repositoryRoot, process.env);
    if (options !== 'help') return serve(options, since);
    console.log(HELP);
    return 0;
  });
}

async function serve(options: LocalOptions, since: number): Promise<number> {
  const { dataDir } = options;
  const cellsFile = dataDir === undefined ? undefined : join(dataDir, 'cells');
  const deviceGraphs = await deviceGraphsOf(options);
  const mesh = await Mesh.prepare({ ...options, deviceGraphs, cellsFile, onEvent: tell });
  const stopRequested = onStopSignals(mesh);
  try {
    const started = await Promise.race([mesh.start(), stopRequested]);
    if (started === 'stop') return INTERRUPTED;
    const logs = dataDir === undefined ? '' : `; logs in ${mesh.logDir}`;
    progress('ready', `after ${((Date.now() - since) / 1000).toFixed(1)} s${logs}`);
    const shown = await Promise.race([show(mesh, options), stopRequested]);
    if (shown === 'stop' || options.smoke) return 0;
    if (options.cells > 1) screen.heading(`The gateway watches its cells in ${mesh.cellsFile}.`);
    screen.heading(`The gateway listens on ${mesh.address('gateway')}. Ctrl-C stops everything.`);
    await stopRequested;
    return 0;
  } finally {
    await mesh.stop();
  }
}

/** Undefined where no cell is to be on a device. The device is asked for first: what it is decides of which precision graphs are made. */
async function deviceGraphsOf({ deviceCell, deviceGraphs, releaseDir }: LocalOptions): Promise<string | undefined> {
  if (!deviceCell) return undefined;
  const device = await whichDevice();
  progress('device', device.reason);
  const dtype = device.name === 'cpu' ? 'float32' : 'float16';
  const onMake = (directory: string) => progress('device graphs', `are made in ${directory}`);
  const python = () => ensurePythonOf('training');
  const directory =
    deviceGraphs ?? (await ensureDeviceGraphs({ root: repositoryRoot, releaseDir, dtype, python, onMake }));
  progress('device graphs', `${precisionOf(directory) ?? 'cannot be read'}, ${directory}`);
  return directory;
}

/** The demo, and how to call the mesh. */
async function show(mesh: Mesh, options: LocalOptions): Promise<void> {
  const gateway = mesh.address('gateway');
  if (process.env.ONEPASS_POLICY) {
    screen.heading('ONEPASS_POLICY says who may ask for pages: none is shown here.');
    return;
  }
  const onepass = connect(gateway, { tls: mesh.tls });
  try {
    if (options.demo) await runDemo(onepass, screen);
    const example = await exampleOf(onepass);
    if (example === undefined) {
      screen.heading('Every page of this release is about a query or an item: none is shown here.');
      return;
    }
    screen.heading('Call it: these lines work as they stand');
    for (const line of callItLines(gateway, example, mesh.tls)) screen.line(`  ${line}`);
  } finally {
    onepass.close();
  }
}

/** Resolves at the first signal to stop; the second ends everything at once. */
function onStopSignals(mesh: Mesh): Promise<'stop'> {
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = () => {
      if (asked) {
        mesh.kill();
        process.exit(INTERRUPTED);
      }
      asked = true;
      console.log('\nStopping; once more to stop at once.');
      resolve('stop');
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  });
}

const coloured = process.stdout.isTTY === true && !process.env.NO_COLOR;
const style = (format: 'bold' | 'dim', text: string) => (coloured ? styleText(format, text) : text);

const screen: Screen = {
  heading: (text) => console.log(`\n${style('bold', text)}`),
  line: (text) => console.log(text),
  detail: (text) => console.log(style('dim', text)),
};

function progress(name: string, outcome: string): void {
  console.log(`  ${name.padEnd(18)} ${outcome}`);
}

function tell(event: SupervisorEvent): void {
  if (event.kind === 'serving')
    progress(event.role, `serves ${event.address} after ${(event.afterMs / 1000).toFixed(1)} s`);
  else progress(event.role, `${event.why}; starting again in ${event.restartInMs} ms`);
}
