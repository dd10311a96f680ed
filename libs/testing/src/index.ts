export * from './bundle.js';
export * from './redis-server.js';
export * from './smoke-draft.js';
export * from './smoke-release.js';
