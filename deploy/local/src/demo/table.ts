export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
  /** Longer cells end in an ellipsis. */
  readonly longest?: number;
  /** Gives way when the table would become too wide. */
  readonly flexible?: boolean;
}

const GAP = '  ';
const LEAST_FLEXIBLE = 8;

/** Text cut to `longest` characters, the last of them an ellipsis when something was cut. */
export function shorten(text: string, longest: number): string {
  const characters = [...text];
  return characters.length <= longest ? text : `${characters.slice(0, longest - 1).join('')}…`;
}

/** Aligned lines of at most `width` characters where the flexible columns allow it, the titles first. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width = Infinity,
): string[] {
  const lines = [columns.map((column) => column.title), ...rows];
  const widths = columns.map((column, i) =>
    Math.min(column.longest ?? Infinity, Math.max(...lines.map((line) => [...(line[i] ?? '')].length))),
  );
  let excess = widths.reduce((sum, w) => sum + w, 0) + GAP.length * (columns.length - 1) - width;
  columns.forEach((column, i) => {
    if (!column.flexible || excess <= 0) return;
    const give = Math.min(excess, Math.max(0, (widths[i] ?? 0) - LEAST_FLEXIBLE));
    widths[i] = (widths[i] ?? 0) - give;
    excess -= give;
  });
  return lines.map((line) =>
    line
      .map((cell, i) => pad(shorten(cell, widths[i] ?? 0), widths[i] ?? 0, columns[i]?.align))
      .join(GAP)
      .trimEnd(),
  );
}

function pad(text: string, width: number, align: Column['align'] = 'left'): string {
  const space = ' '.repeat(Math.max(0, width - [...text].length));
  return align === 'left' ? text + space : space + text;
}
