import type { Edge } from '@onepass/contracts';
import { startupError } from '@onepass/errors';
import { addressesOf, type CellLine, parseCellFile } from '@onepass/routing';
import { watchFiles } from '@onepass/security';
import type { GatewaySettings } from '../settings.js';
import { Cells } from './cells.js';

const SETTING = 'ONEPASS_CELLS_FILE';
const LOOK_MS = 250;

type CellSettings = Pick<GatewaySettings, 'cells' | 'cellsFile' | 'cellWarmUpMs' | 'host' | 'port'>;

/**
 * The cells of ONEPASS_CELLS, or those of a file that is read again when it changes: what does not parse leaves them as they are.
 * @throws OnepassError `startup` naming the file when it is not good at first
 */
export function openCells(settings: CellSettings, edge: Edge): { readonly cells: Cells; close(): void } {
  const { connect, logger, measurements } = edge;
  const options = { connect, warmUpMs: settings.cellWarmUpMs, logger, measurements };
  const { cellsFile: path } = settings;
  if (path === '') {
    const cells = new Cells(settings.cells, options);
    return { cells, close: () => cells.close() };
  }
  const own = `${settings.host}:${settings.port}`;
  const file = watchFiles({
    what: 'cells',
    files: [{ name: SETTING, path }],
    parse: ([bytes]) => parse(path, bytes ?? Buffer.alloc(0), own),
    everyMs: LOOK_MS,
    logger,
    measurements,
  });
  const cells = new Cells(file.value, options);
  file.onChange((lines) => cells.follow(lines));
  return {
    cells,
    close: () => {
      file.close();
      cells.close();
    },
  };
}

function parse(path: string, bytes: Buffer, own: string): readonly CellLine[] {
  try {
    const lines = parseCellFile(bytes.toString('utf8'));
    if (lines.flatMap(addressesOf).includes(own)) throw new Error(`names ${own}, where this gateway itself listens`);
    return lines;
  } catch (error) {
    throw startupError(`${SETTING}: ${path} ${(error as Error).message}`, error);
  }
}
