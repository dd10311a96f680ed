/** One cell as its operator names it: user-encoder and ranking, as host:port. */
export interface CellLine {
  /** By which people find it: stays when addresses change. */
  readonly name: string;
  readonly encoder: string;
  readonly ranking: string;
  /** A second user-encoder, whose KV ranking reads; absent: that of `encoder`. */
  readonly rankingEncoder?: string;
  readonly state: 'serving' | 'draining';
}

const NAME = /^[^\s=,;#]{1,128}$/;
const STATES: readonly string[] = ['serving', 'draining'];
const LOOKS = 'must look like encoder=HOST:PORT,ranking=HOST:PORT';
const KEYS = ['name', 'encoder', 'ranking', 'ranking-encoder', 'state'];

/**
 * Cells in one line, with ; between.
 * @throws Error whose message ends the sentence "SETTING: ..."
 */
export function parseCells(raw: string): readonly CellLine[] {
  return checked(raw.split(';').map(parseCell));
}

/**
 * Cells of a file, one a line; a line that is blank or begins with # says nothing.
 * @throws Error whose message ends the sentence "FILE ...", naming the line where it is one line's fault
 */
export function parseCellFile(text: string): readonly CellLine[] {
  const cells = text.split('\n').flatMap((line, i) => {
    const said = line.trim();
    if (said === '' || said.startsWith('#')) return [];
    try {
      return parseCell(said);
    } catch (error) {
      throw new Error(`line ${i + 1} ${(error as Error).message}`);
    }
  });
  if (cells.length === 0) throw new Error('names no cell');
  return checked(cells);
}

/** As `parseCellFile` reads it. */
export function formatCell({ name, encoder, ranking, rankingEncoder, state }: CellLine): string {
  const apart = rankingEncoder === undefined ? '' : `,ranking-encoder=${rankingEncoder}`;
  return `name=${name},encoder=${encoder},ranking=${ranking}${apart},state=${state}`;
}

/** The addresses at which a cell is called. */
export function addressesOf({ encoder, ranking, rankingEncoder }: CellLine): string[] {
  return rankingEncoder === undefined ? [encoder, ranking] : [encoder, ranking, rankingEncoder];
}

function parseCell(raw: string): CellLine {
  const pairs = raw.split(',').map((part) => part.trim().split('='));
  const parts = new Map(pairs.map(([key = '', ...value]) => [key, value.join('=')]));
  const known = parts.size === pairs.length && [...parts.keys()].every((key) => KEYS.includes(key));
  const [encoder, ranking, rankingEncoder] = ['encoder', 'ranking', 'ranking-encoder'].map((key) => parts.get(key));
  const apart = rankingEncoder !== undefined;
  if (!known || !isAddress(encoder) || !isAddress(ranking) || (apart && !isAddress(rankingEncoder))) {
    throw new Error(`${LOOKS}, not ${JSON.stringify(raw)}`);
  }
  const { name = encoder, state = 'serving' } = Object.fromEntries(parts);
  if (!NAME.test(name))
    throw new Error(`has a name that is empty, too long or has a space or one of =,;# in it: ${JSON.stringify(raw)}`);
  if (!STATES.includes(state))
    throw new Error(`has a state that is neither serving nor draining: ${JSON.stringify(raw)}`);
  return { name, encoder, ranking, ...(apart && { rankingEncoder }), state: state as CellLine['state'] };
}

function checked(cells: readonly CellLine[]): readonly CellLine[] {
  const encoders = cells.flatMap(({ encoder, rankingEncoder = [] }) => [encoder, rankingEncoder].flat());
  if (hasRepeated(encoders)) throw new Error('names one encoder twice');
  if (hasRepeated(cells.map(({ ranking }) => ranking))) throw new Error('names one ranking twice');
  if (hasRepeated(cells.map(({ name }) => name))) throw new Error('names one cell twice');
  if (new Set(cells.map((cell) => cell.rankingEncoder === undefined)).size > 1) {
    throw new Error('must name a ranking-encoder for every cell or for none');
  }
  return cells;
}

function hasRepeated(all: readonly string[]): boolean {
  return new Set(all).size < all.length;
}

/** Whether a text is HOST:PORT. */
export function isAddress(text: string | undefined): text is string {
  const port = Number(text?.match(/^[^\s=,;/]+:(\d{1,5})$/)?.[1]);
  return port >= 1 && port <= 65_535;
}
