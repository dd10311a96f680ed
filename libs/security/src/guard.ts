import type { Priority } from '@onepass/admission';

/** Who is at the other end of a connection. */
export interface Peer {
  /**
   * Names in the verified client certificate: its URI alternative names, then the DNS ones; the common name only where there are neither.
   * Empty without a verified certificate.
   */
  readonly identities: readonly string[];
}

/** What a caller may do beyond calling a method. */
export const PRIVILEGES = ['pin_release', 'as_of'] as const;
export type Privilege = (typeof PRIVILEGES)[number];

/** A caller as the policy knows it. */
export interface Caller {
  readonly name: string;
  may(privilege: Privilege): boolean;
  /** What a call comes to that asks for `asked`: no more than the caller may have. */
  priority(asked: Priority): Priority;
}

/** A call that was let in. */
export interface Grant {
  readonly caller: Caller;
  /** To be called once, when the call has been answered. */
  release(): void;
}

/** Decides before a request is decoded whether a caller may make the call now. */
export interface CallGuard {
  /**
   * @param method full path, `/onepass.gateway.v1.RecommendationService/Recommend`
   * @throws OnepassError `unauthenticated`, `permission_denied`, or `overloaded` with the time after which to try again
   */
  admit(method: string, peer: Peer): Grant;
}

/** Where callers are not known, anybody may do anything. */
const ANYBODY: Grant = { caller: { name: 'anybody', may: () => true, priority: (asked) => asked }, release() {} };

export const OPEN_GUARD: CallGuard = { admit: () => ANYBODY };
