export { gatewayProgram, startGateway } from './gateway.js';
export { loadServedRelease, type ServedRelease } from './served-release.js';
export { gatewaySettings } from './settings.js';
