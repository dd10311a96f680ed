import { OnepassError } from '@onepass/errors';
import { type AttributesOf, type Logger, type Measurements, rarely } from '@onepass/telemetry';
import type { CallGuard, Grant, Peer } from './guard.js';
import { Limiter, type Refusal } from './limits.js';
import type { Policy, PolicyCaller } from './policy.js';

export interface PolicyGuardOptions {
  readonly policy: Policy;
  readonly logger: Logger;
  readonly measurements: Measurements;
  /** ms of a clock that never runs backwards */
  readonly now?: () => number;
}

type Reason = AttributesOf<'onepass.calls.refused'>['onepass.refusal'];

/** A refused caller usually comes again and again. */
const LOG_EVERY_MS = 60_000;
const UNKNOWN_CALLER = 'unknown';

/** Lets in what a policy allows. Limits hold for each caller over all methods of this process. */
export class PolicyGuard implements CallGuard {
  readonly #options: Required<PolicyGuardOptions>;
  readonly #limiters = new Map<string, Limiter>();
  readonly #logger: Logger;
  #policy: Policy;

  constructor(options: PolicyGuardOptions) {
    this.#options = { now: () => performance.now(), ...options };
    this.#logger = rarely(options.logger, LOG_EVERY_MS, this.#options.now);
    this.#policy = options.policy;
  }

  /** Holds for the next call on; what callers have used up of their limits still counts. */
  change(policy: Policy): void {
    this.#policy = policy;
    for (const { name, limits } of policy.callers) this.#limiters.get(name)?.change(limits, this.#options.now());
  }

  admit(method: string, { identities }: Peer): Grant {
    const caller = this.#policy.callerOf(identities);
    if (caller === undefined) throw this.#unknown(method, identities);
    if (!caller.mayCall(method)) {
      this.#refused(caller.name, 'method', method);
      throw new OnepassError({ kind: 'permission_denied' }, `caller "${caller.name}" may not call ${method}`);
    }
    const limiter = this.#limiterOf(caller);
    const refusal = limiter.take(this.#options.now());
    if (refusal !== undefined) throw this.#overLimit(method, caller, refusal);
    return { caller, release: () => limiter.release() };
  }

  #limiterOf({ name, limits }: PolicyCaller): Limiter {
    const held = this.#limiters.get(name);
    if (held !== undefined) return held;
    const made = new Limiter(limits, this.#options.now());
    this.#limiters.set(name, made);
    return made;
  }

  #unknown(method: string, identities: readonly string[]): OnepassError {
    if (identities.length === 0) {
      this.#refused(UNKNOWN_CALLER, 'no_certificate', method);
      return new OnepassError(
        { kind: 'unauthenticated' },
        `${method} needs a client certificate that names the caller`,
      );
    }
    this.#refused(UNKNOWN_CALLER, 'unknown_caller', method);
    const names = identities.map((identity) => JSON.stringify(identity)).join(', ');
    return new OnepassError({ kind: 'permission_denied' }, `no caller is known as ${names}: ${method} is not for it`);
  }

  #overLimit(method: string, { name, limits }: PolicyCaller, { reason, retryAfterMs }: Refusal): OnepassError {
    this.#refused(name, reason, method);
    const limit =
      reason === 'rate_limit' ? `${limits.requestsPerSecond} calls a second` : `${limits.concurrent} calls at one time`;
    return new OnepassError({ kind: 'overloaded', retryAfterMs }, `caller "${name}" is over its limit of ${limit}`);
  }

  #refused(caller: string, reason: Reason, method: string): void {
    const attributes = { 'onepass.caller': caller, 'onepass.refusal': reason };
    this.#options.measurements.count('onepass.calls.refused', attributes);
    this.#logger.warn({ method }, `calls of ${caller} are refused: ${reason}`);
  }
}
