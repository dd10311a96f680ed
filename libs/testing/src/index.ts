export * from './bundle.js';
export * from './smoke-release.js';
