export { exportLogs } from './export-logs.js';
export type { ExportManifest } from './manifest.js';
export { type ReplayReport, replay, TOLERANCE } from './replay.js';
export { runExport } from './run-export.js';
