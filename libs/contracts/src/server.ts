import * as grpc from '@grpc/grpc-js';
import { startupError } from '@onepass/errors';
import { type Logger, type Measurements, NO_TRACER, type Tracer } from '@onepass/telemetry';
import { HealthImplementation } from 'grpc-health-check';
import type { Faults } from './faults.js';
import { type CallGuard, OPEN_GUARD } from './guard.js';
import type { Implementation } from './implement.js';
import { addReflection } from './reflection.js';
import { NO_SWITCHES, type Switches } from './switches.js';
import { PLAINTEXT, type Transport } from './transport.js';
import { addImplementation } from './unary.js';

/** Largest request a method reads, in bytes. */
export const DEFAULT_MESSAGE_BYTES = 4 * 1024 * 1024;
/**
 * The transport reads this many times more, so that a message somewhat over the limit is refused by us, as INVALID_ARGUMENT with a sentence,
 * and only one far over it by the transport (RESOURCE_EXHAUSTED) before it is held in memory.
 */
const TRANSPORT_ALLOWANCE = 4;

// grpc-js prints its own lines for what we answer or throw as a sentence.
grpc.setLogVerbosity(grpc.logVerbosity.NONE);

export interface ServerOptions {
  readonly role: string;
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
  readonly services: readonly Implementation[];
  readonly logger: Logger;
  readonly measurements: Measurements;
  /** Absent: nothing is traced. */
  readonly tracer?: Tracer;
  /** Absent: anybody may call anything. */
  readonly guard?: CallGuard;
  /** Absent: plaintext. */
  readonly transport?: Transport;
  /** Breaks calls on purpose, for drills. */
  readonly faults?: Faults | undefined;
  /** Absent: nothing can be switched. */
  readonly switches?: Switches;
  readonly messageBytes?: number;
}

export interface RunningServer {
  readonly address: string;
  readonly port: number;
  /** What health answers, for "" and for every service: starts as NOT_SERVING, and is it while the switch `drain` is on. */
  setServing(serving: boolean): void;
  /** Stops taking calls, lets those in flight finish for up to `graceMs`, then ends them. */
  stop(graceMs: number): Promise<void>;
}

/** @throws OnepassError `startup` naming the address when it cannot be bound. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const limit = options.messageBytes ?? DEFAULT_MESSAGE_BYTES;
  const server = new grpc.Server({
    'grpc.max_receive_message_length': limit * TRANSPORT_ALLOWANCE,
    'grpc.max_send_message_length': limit * TRANSPORT_ALLOWANCE,
    // Channelz keeps records of every connection that nobody here reads.
    'grpc.enable_channelz': 0,
    // The default, SO_REUSEPORT, would let a second process take a port in use without a word.
    'grpc.so_reuseport': 0,
    // A caller whose host has gone says nothing: without pings its connection would be kept for ever.
    'grpc.keepalive_time_ms': 60_000,
    'grpc.keepalive_timeout_ms': 20_000,
    ...ageLimit(options.transport),
  });
  const health = new HealthImplementation();
  const path = { tracer: NO_TRACER, guard: OPEN_GUARD, faults: undefined, ...options, limit };
  for (const implementation of options.services) addImplementation(server, implementation, path);
  health.addToServer(server);
  addReflection(
    server,
    options.services.map((s) => s.service),
    path.guard,
  );
  const port = await bind(server, options);
  const switches = options.switches ?? NO_SWITCHES;
  let isServing = false;
  const tellHealth = () => {
    const status = isServing && !switches.isOn('drain') ? 'SERVING' : 'NOT_SERVING';
    for (const name of ['', ...options.services.map((s) => s.service.typeName)]) health.setStatus(name, status);
  };
  const setServing = (serving: boolean) => {
    isServing = serving;
    tellHealth();
  };
  switches.onChange(tellHealth);
  tellHealth();
  return { address: `${options.host}:${port}`, port, setServing, stop: (graceMs) => stop(server, setServing, graceMs) };
}

/** Calls in flight when a connection has reached its age are left to finish. */
function ageLimit({ connectionAgeMs }: Transport = PLAINTEXT): grpc.ServerOptions {
  return connectionAgeMs === Infinity ? {} : { 'grpc.max_connection_age_ms': connectionAgeMs };
}

function bind(server: grpc.Server, { host, port, role, transport = PLAINTEXT }: ServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`${host}:${port}`, transport.server(), (error, bound) => {
      if (error) reject(startupError(`${role} cannot listen on ${host}:${port}: ${bindProblem(error.message)}`, error));
      else resolve(bound);
    });
  });
}

function bindProblem(message: string): string {
  if (message.includes('EADDRINUSE')) return 'the port is in use';
  if (message.includes('EACCES')) return 'permission denied';
  if (message.includes('EADDRNOTAVAIL')) return 'this host has no such address';
  return message;
}

async function stop(server: grpc.Server, setServing: (serving: boolean) => void, graceMs: number): Promise<void> {
  setServing(false);
  let timer: NodeJS.Timeout | undefined;
  const drained = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, graceMs);
  });
  await Promise.race([drained, late]);
  clearTimeout(timer);
  server.forceShutdown();
}
