import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startupError } from '@onepass/errors';
import { mergeIntoSummary, REPORT_FOLDER } from '../summary.js';
import { summaryEntries } from './figures.js';
import type { GpuFindings } from './findings.js';
import { gpuPage } from './page.js';
import { tellFindings } from './tell.js';
import { writeWhole } from './write-whole.js';

const FILE = 'findings.json';

/** What was found so far, in a folder of the report. */
export const keepFindings = (folder: string, findings: GpuFindings): Promise<void> =>
  writeWhole(join(folder, FILE), `${JSON.stringify(findings, null, 2)}\n`);

/** @param folder or the file in it. @throws OnepassError `startup` naming the file */
export async function readFindings(folder: string): Promise<GpuFindings> {
  const path = folder.endsWith('.json') ? folder : join(folder, FILE);
  try {
    const { compared, ...found } = JSON.parse(await readFile(path, 'utf8')) as GpuFindings;
    // JSON has no NaN.
    const numbers = compared.map(({ case: of, agreement: { worst, mean, kendall } }) => ({
      case: of,
      agreement: { worst: worst ?? Number.NaN, mean: mean ?? Number.NaN, kendall: kendall ?? Number.NaN },
    }));
    return { ...found, compared: numbers };
  } catch (error) {
    throw startupError(`"${path}" has no findings of bench:gpu`, error);
  }
}

/** Tables of what was found, a page of it, and a GPU's figures in the summary. @returns the tables and a sentence on where the rest went */
export async function publishFindings(folder: string, findings: GpuFindings): Promise<string> {
  const { machine, figures, shape } = findings;
  await writeWhole(join(folder, 'index.html'), gpuPage(findings));
  const pictured = `The picture is ${join(folder, 'index.html')}, all numbers are in ${FILE} beside it`;
  const tables = tellFindings(findings).join('\n');
  if (machine.device === 'cpu') return `${tables}\n\n${pictured}. perf/report/summary.json keeps figures of GPUs only.`;
  if (machine.name === machine.device)
    return `${tables}\n\n${pictured}. Nobody says which GPU this is (nvidia-smi), so perf/report/summary.json keeps none of it.`;
  await mergeIntoSummary(REPORT_FOLDER, summaryEntries(figures, shape), machine.name);
  return `${tables}\n\n${pictured}, and the figures are in perf/report/summary.json.`;
}
