export { type Caller, type CallGuard, type Grant, OPEN_GUARD, type Peer, type Privilege } from '@onepass/security';
