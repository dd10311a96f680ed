import { Admission, admitted, type Outcome, pageAdmissionOptions } from '@onepass/admission';
import { OnepassError } from '@onepass/errors';
import { cellOrder, withBoundedLoad } from '@onepass/routing';
import { type CellEncoded, type CellTerms, hop, type PersonHistory, SimCell, turn } from './cell.js';
import type { SimClock } from './clock.js';
import type { ServiceDraw } from './draw.js';
import { EventLoop, type Machine } from './machine.js';

/** A machine and the processes on it. */
export interface HostTerms {
  readonly machine: Machine;
  /** As the gateway names cells: who belongs to which depends on it. */
  readonly cells: readonly string[];
  readonly gateways: number;
  readonly retrievals: number;
}

export interface MeshTerms extends CellTerms {
  readonly hosts: readonly HostTerms[];
  readonly budgetMs: number;
  /** Where whoever sends the pages runs; undefined: elsewhere. */
  readonly client: Machine | undefined;
}

export interface SimPage {
  /** 32 hex digits. */
  readonly person: string;
  readonly history: PersonHistory;
  /** Whether this cell must not use what it holds of the person. */
  readonly cold?: (cell: string) => boolean;
}

/** What became of a page. */
export interface PageSeen {
  /** `late`: not whole in its time, so that a stage would have been gone around. */
  readonly outcome: 'whole' | 'late' | 'refused';
  /** From when it was sent, in ms. */
  readonly ms: number;
  /** Undefined where nobody was encoded. */
  readonly kind: CellEncoded['kind'] | undefined;
}

interface Gateway {
  readonly loop: EventLoop;
  readonly admission: Admission;
}

/** The gateway works on a page four times: on the request, and on each stage's answer. */
const GATEWAY_TURNS = 4;
/** Share of its work until a page is admitted or refused: reading the request. */
const BEFORE_ADMISSION = 0.1;
/** Share of a page's time by which ranking must have answered, as the gateway has it. */
const RANKED = 0.95;

/** Gateways, retrieval and cells on their machines; routing, admission, run queues and slots are the code that serves. */
export class SimMesh {
  readonly cells: ReadonlyMap<string, SimCell>;
  readonly #terms: MeshTerms;
  readonly #clock: SimClock;
  readonly #draw: ServiceDraw;
  readonly #client: EventLoop | undefined;
  /** Of the cells that are asked. */
  #names: readonly string[];
  #machines: readonly Machine[];
  #gateways: readonly Gateway[];
  #retrievals: readonly EventLoop[];
  #pages = 0;
  #searches = 0;

  constructor(clock: SimClock, terms: MeshTerms, draw: ServiceDraw) {
    this.#clock = clock;
    this.#terms = terms;
    this.#draw = draw;
    const { hosts, client, budgetMs } = terms;
    this.#machines = hosts.map(({ machine }) => machine);
    const cells = hosts.flatMap(({ machine, cells: names }) =>
      names.map((name) => new SimCell(name, terms, { clock, machine, draw })),
    );
    this.cells = new Map(cells.map((cell) => [cell.name, cell]));
    this.#names = [...this.cells.keys()];
    const loops = (count: (host: HostTerms) => number) =>
      hosts.flatMap((host) => Array.from({ length: count(host) }, () => new EventLoop(host.machine)));
    this.#gateways = loops(({ gateways }) => gateways).map((loop) => ({
      loop,
      admission: new Admission(pageAdmissionOptions(budgetMs), clock.now),
    }));
    this.#retrievals = loops(({ retrievals }) => retrievals);
    this.#client = client && new EventLoop(client);
  }

  get names(): readonly string[] {
    return this.#names;
  }

  get machines(): readonly Machine[] {
    return this.#machines;
  }

  /** The machine of this cell is gone, with every process on it. */
  lose(name: string): void {
    const { machine } = this.cells.get(name)!.encoder.loop;
    this.#names = this.#names.filter((one) => this.cells.get(one)!.encoder.loop.machine !== machine);
    this.#machines = this.#machines.filter((one) => one !== machine);
    this.#gateways = this.#gateways.filter(({ loop }) => loop.machine !== machine);
    this.#retrievals = this.#retrievals.filter((loop) => loop.machine !== machine);
  }

  /** Of all event loops that are left, by process. */
  loops(): { readonly process: string; readonly loop: EventLoop }[] {
    const cells = this.#names
      .map((name) => this.cells.get(name)!)
      .flatMap(({ encoder, ranking }) => [
        { process: 'user-encoder', loop: encoder.loop },
        { process: 'ranking', loop: ranking.loop },
      ]);
    return [
      ...this.#gateways.map(({ loop }) => ({ process: 'gateway', loop })),
      ...this.#retrievals.map((loop) => ({ process: 'retrieval', loop })),
      ...cells,
    ];
  }

  /** The page that is sent now. */
  async page(page: SimPage): Promise<PageSeen> {
    const sentMs = this.#clock.now();
    const front = this.#draw.any();
    const gateway = nextOf(this.#gateways, this.#pages++);
    const { gateway: all } = front;
    const work = all / GATEWAY_TURNS;
    let encoded: CellEncoded | undefined;
    let outcome: PageSeen['outcome'] = 'whole';
    await this.#clientTurn(front.client / 2, gateway.loop.machine);
    await turn(gateway.loop, BEFORE_ADMISSION * all, this.#draw);
    const deadlineMs = this.#clock.now() + this.#terms.budgetMs;
    const make = async (): Promise<[CellEncoded | undefined, Outcome]> => {
      await turn(gateway.loop, work - BEFORE_ADMISSION * all, this.#draw, front.gatewayBeside);
      const made = await this.#make(page, gateway.loop, work, deadlineMs);
      return [made, this.#clock.now() <= deadlineMs ? 'whole' : 'late'];
    };
    const caller = new AbortController();
    try {
      encoded = await admitted(gateway.admission, { priority: 'interactive', deadlineMs, caller }, make);
      if (this.#clock.now() > deadlineMs) outcome = 'late';
    } catch (error) {
      outcome = error instanceof StageLate ? 'late' : refusalOf(error);
    }
    await hop(this.#clock, this.#client?.machine ?? gateway.loop.machine, this.#draw);
    if (this.#client) await turn(this.#client, front.client / 2, this.#draw);
    return { outcome, ms: this.#clock.now() - sentMs, kind: encoded?.kind };
  }

  /** A LogActions of so many events, sent now. */
  async actions(history: PersonHistory, events: number): Promise<void> {
    const { client, gateway: work, gatewayBeside } = this.#draw.actions(events);
    const { loop } = nextOf(this.#gateways, this.#pages++);
    await this.#clientTurn(client / 2, loop.machine);
    await turn(loop, work, this.#draw, gatewayBeside);
    history.sequence += events;
    await hop(this.#clock, this.#client?.machine ?? loop.machine, this.#draw);
    if (this.#client) await turn(this.#client, client / 2, this.#draw);
  }

  /** @throws StageLate where a stage refuses for its load */
  async #make(page: SimPage, gateway: EventLoop, work: number, deadlineMs: number): Promise<CellEncoded> {
    const order = withBoundedLoad(cellOrder(page.person, this.#names), (name) => this.cells.get(name)!.underWay);
    const cell = this.cells.get(order[0]!)!;
    const rankedMs = this.#clock.now() + RANKED * (deadlineMs - this.#clock.now());
    cell.underWay += 1;
    try {
      const { person, history, cold } = page;
      const asked = { person, history, deadlineMs: rankedMs, cold: cold?.(cell.name) ?? false };
      const encoded = await this.#stage(gateway, cell.encoder.loop.machine, () => cell.encode(asked));
      await turn(gateway, work, this.#draw);
      const { retrieval, retrievalBeside } = encoded.times;
      const index = nextOf(this.#retrievals, this.#searches++);
      await this.#stage(gateway, index.machine, () => turn(index, retrieval, this.#draw, retrievalBeside));
      await turn(gateway, work, this.#draw);
      await this.#stage(gateway, cell.ranking.loop.machine, () => cell.rank(encoded, rankedMs));
      await turn(gateway, work, this.#draw);
      return encoded;
    } catch (error) {
      throw OnepassError.from(error).kind === 'overloaded' ? new StageLate() : error;
    } finally {
      cell.underWay -= 1;
    }
  }

  /** The way to a stage, its work, and the way back. */
  async #stage<T>(gateway: EventLoop, machine: Machine, work: () => Promise<T>): Promise<T> {
    await hop(this.#clock, machine, this.#draw);
    const done = await work();
    await hop(this.#clock, gateway.machine, this.#draw);
    return done;
  }

  async #clientTurn(workMs: number, to: Machine): Promise<void> {
    if (this.#client) await turn(this.#client, workMs, this.#draw);
    await hop(this.#clock, to, this.#draw);
  }
}

/** In turn, as connections are. */
const nextOf = <T>(some: readonly T[], turn: number): T => some[turn % some.length]!;

/** A stage that refuses for its load: the gateway goes around it, and counts the page as late. */
class StageLate extends OnepassError {
  constructor() {
    super({ kind: 'deadline_exceeded' }, 'a stage was too busy');
  }
}

/** @throws what is no refusal */
function refusalOf(error: unknown): 'refused' {
  const { kind } = OnepassError.from(error);
  if (kind === 'overloaded' || kind === 'deadline_exceeded') return 'refused';
  throw error;
}
