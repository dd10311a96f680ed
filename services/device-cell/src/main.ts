#!/usr/bin/env node
import { runRole } from '@onepass/contracts';
import { deviceCellProgram } from './device-cell.js';

await runRole(deviceCellProgram);
