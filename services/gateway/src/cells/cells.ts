import type { Connection } from '@onepass/contracts';
import {
  addressesOf,
  CELL_STATES,
  CellLife,
  type CellLine,
  type CellState,
  drawsOf,
  homeOf,
  orderByWeight,
  type PersonKey,
  withBoundedLoad,
} from '@onepass/routing';
import type { AttributesOf, Logger, Measurements } from '@onepass/telemetry';
import { Cell } from './cell.js';
import { watchCell } from './cell-watch.js';

export interface CellsOptions {
  readonly connect: (address: string) => Connection;
  /** How long a cell that joins takes until it has all its people. */
  readonly warmUpMs: number;
  readonly logger: Logger;
  readonly measurements: Measurements;
  /** Monotonic clock, in ms. */
  readonly now?: () => number;
}

/** Why a page is made elsewhere than at the person's own cell. */
export type MoveReason = AttributesOf<'onepass.pages.moved'>['onepass.move.reason'];

/** A cell that is no longer named is taken for ended when it could not be reached for so long: until then it may hold KV. */
const ENDED_AFTER_MS = 60_000;

interface Watched {
  readonly cell: Cell;
  readonly unwatch: () => void;
  /** What was last logged of it. */
  state: CellState;
}

/** The cells that the operator names, as this gateway sees them. */
export class Cells {
  readonly #options: CellsOptions;
  readonly #now: () => number;
  /** By name, those that people are sent to. */
  #cells = new Map<string, Watched>();
  #names: readonly string[] = [];
  /** Those that are no longer named and may still hold KV. */
  readonly #left = new Set<Watched>();

  /** Cells that are there from the start serve: their KV is whatever it is. */
  constructor(lines: readonly CellLine[], options: CellsOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    const warmUpMs = options.warmUpMs;
    for (const line of lines) {
      const life = new CellLife({ warmUpMs });
      life.drain('operator', line.state === 'draining', this.#now());
      this.#cells.set(line.name, this.#watched(line, life));
    }
    this.#names = [...this.#cells.keys()];
    this.#measure();
  }

  /**
   * Takes up a new list: new cells are waited for and then join, those that are gone get nobody, and those that stay are as they were. One that
   * has moved to other addresses keeps its people, who find their KV only if it moved along.
   */
  follow(lines: readonly CellLine[]): void {
    const before = this.#cells;
    this.#cells = new Map();
    for (const line of lines) {
      const known = before.get(line.name);
      const stays = known !== undefined && sameAddresses(known.cell.line, line);
      const taken = stays ? known : (this.#back(line) ?? this.#new(line, known?.cell.life.poolId));
      if (stays) before.delete(line.name);
      taken.cell.life.drain('operator', line.state === 'draining', this.#now());
      this.#cells.set(line.name, taken);
    }
    for (const gone of before.values()) this.#left.add(gone);
    this.#names = [...this.#cells.keys()];
    for (const one of [...this.#cells.values(), ...this.#left]) this.#tell(one);
  }

  /**
   * Does work at the person's cell, which is handed over first and those that take over behind it, in order. One that has much more under way
   * than the others comes behind them: whoever makes a cell hot does not sink it.
   */
  async use<T>(person: PersonKey, work: (cells: readonly Cell[]) => Promise<T>): Promise<T> {
    const { order, home } = this.#of(person);
    const [first] = order;
    if (first === undefined) return work(order);
    if (first !== home && home !== undefined) this.moved(reasonOf(home.life.stateAt(this.#now())));
    first.underWay += 1;
    try {
      return await work(order);
    } finally {
      first.underWay -= 1;
    }
  }

  /** Counts a page that is made elsewhere. */
  moved(reason: MoveReason): void {
    this.#options.measurements.count('onepass.pages.moved', { 'onepass.move.reason': reason });
  }

  /**
   * The person's cell first, then those that take over, in order: draining ones behind those that serve, those that could not be reached
   * last. Any spreading key serves for nobody in particular.
   */
  inOrder(person: PersonKey): Cell[] {
    return this.#of(person).order;
  }

  /** All that may hold KV of anybody: draining, passed over, and no longer named ones too. */
  holders(): Cell[] {
    return [...this.#cells.values(), ...this.#left].map(({ cell }) => cell);
  }

  close(): void {
    for (const one of [...this.#cells.values(), ...this.#left]) end(one);
  }

  #of(person: PersonKey): { order: Cell[]; home: Cell | undefined } {
    if (this.#names.length === 1) {
      const cell = this.#cells.get(this.#names[0]!)!.cell;
      return { order: [cell], home: cell };
    }
    const nowMs = this.#now();
    const draws = drawsOf(person, this.#names);
    const cellOf = (name: string) => (this.#cells.get(name) as Watched).cell;
    const weightOf = (cell: Cell) => cell.life.weightAt(nowMs);
    const by: Record<'taking' | 'draining' | 'passed_over', Cell[]> = { taking: [], draining: [], passed_over: [] };
    for (const { cell: name } of orderByWeight(draws, (name) => weightOf(cellOf(name)))) {
      const cell = cellOf(name);
      const state = cell.life.stateAt(nowMs);
      by[state === 'draining' || state === 'passed_over' ? state : 'taking'].push(cell);
    }
    const taking = withBoundedLoad(by.taking, ({ underWay }) => underWay, weightOf);
    const home = homeOf(draws);
    return {
      order: [...taking, ...by.draining, ...by.passed_over],
      home: home === undefined ? undefined : cellOf(home),
    };
  }

  #new(line: CellLine, poolId: string | undefined): Watched {
    return this.#watched(line, new CellLife({ warmUpMs: this.#options.warmUpMs, isNew: true, poolId }));
  }

  /** The cell that left and is named again, with all that is known of it. */
  #back(line: CellLine): Watched | undefined {
    for (const left of this.#left) {
      if (left.cell.name !== line.name || !sameAddresses(left.cell.line, line)) continue;
      this.#left.delete(left);
      return left;
    }
    return undefined;
  }

  #watched(line: CellLine, life: CellLife): Watched {
    const cell = new Cell(line, life, this.#options.connect, this.#now);
    const unwatch = watchCell(cell, {
      now: this.#now,
      cells: () => this.#cells.size + this.#left.size,
      looked: () => this.#looked(watched),
    });
    const watched: Watched = { cell, unwatch, state: life.stateAt(this.#now()) };
    return watched;
  }

  #looked(one: Watched): void {
    this.#tell(one);
    const { cell } = one;
    if (!this.#left.has(one) || cell.underWay > 0) return;
    const isReplaced = [...this.#cells.values()].some((other) => other.cell.line.encoder === cell.line.encoder);
    if (!isReplaced && cell.life.awayMs(this.#now()) < ENDED_AFTER_MS) return;
    this.#left.delete(one);
    end(one);
    this.#options.logger.info({ cell: cell.name }, 'a cell that is no longer named has ended');
  }

  #tell(one: Watched): void {
    const { cell } = one;
    const to = cell.life.stateAt(this.#now());
    if (to === one.state) return;
    const fields = { cell: cell.name, from: one.state, to, ...(cell.isUnfit && { unfit: true }) };
    one.state = to;
    const { logger } = this.#options;
    if (cell.isUnfit)
      logger.error(
        fields,
        'a cell is not what it is named: its addresses may be swapped, or it serves another release',
      );
    else logger.info(fields, 'a cell changed its state');
  }

  #measure(): void {
    const { measurements } = this.#options;
    const cells = () => [...this.#cells.values()].map(({ cell }) => cell.life);
    for (const state of CELL_STATES) {
      const count = () => cells().filter((life) => life.stateAt(this.#now()) === state).length;
      measurements.observe('onepass.cells', count, { 'onepass.cell.state': state });
    }
    measurements.observe('onepass.cells.weight', () => {
      const taking = cells().filter((life) => ['joining', 'serving'].includes(life.stateAt(this.#now())));
      return taking.reduce((sum, life) => sum + life.weightAt(this.#now()), 0);
    });
  }
}

function end({ cell, unwatch }: Watched): void {
  unwatch();
  cell.close();
}

function sameAddresses(one: CellLine, other: CellLine): boolean {
  return addressesOf(one).join() === addressesOf(other).join();
}

/** A cell that serves is gone around for its load alone. */
function reasonOf(home: CellState): MoveReason {
  return home === 'serving' ? 'load' : home;
}
