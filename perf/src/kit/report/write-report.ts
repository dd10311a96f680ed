import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { flameFileName, flameTitle } from './details-section.js';
import type { ReportFindings } from './findings.js';
import { formatHeadlines } from './headline-table.js';
import { figuresOf } from './numbers.js';
import { formatPage, type PageOptions } from './page.js';
import { flameFile } from './plot/flame-graph.js';

/** Writes `index.html` in `folder`, whole or not at all. @returns its path */
export async function writePage(folder: string, findings: ReportFindings, options: PageOptions = {}): Promise<string> {
  await mkdir(folder, { recursive: true });
  return write(folder, 'index.html', formatPage(findings, options));
}

/**
 * Writes the page, and beside it report.json, everything that was found with machine, versions and figures, report.md, and a flame graph for
 * each process (flame-PROCESS.svg).
 * @returns the page's path
 */
export async function writeReport(
  folder: string,
  findings: ReportFindings,
  options: PageOptions = {},
): Promise<string> {
  const figures = options.figures ?? figuresOf(findings);
  const page = await writePage(folder, findings, { ...options, figures });
  await write(folder, 'report.json', `${JSON.stringify({ ...findings, figures }, null, 2)}\n`);
  await write(folder, 'report.md', formatHeadlines(findings, figures));
  for (const flame of findings.flames) {
    await write(folder, flameFileName(flame), flameFile(flame.frames, flameTitle(flame)));
  }
  return page;
}

async function write(folder: string, name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(`${path}.new`, content);
  await rename(`${path}.new`, path);
  return path;
}
