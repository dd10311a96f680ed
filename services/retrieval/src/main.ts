import { runRole } from '@onepass/contracts';
import { retrievalProgram } from './start.js';

await runRole(retrievalProgram);
