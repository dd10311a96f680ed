#!/usr/bin/env node
import { runRole } from '@onepass/contracts';
import { gatewayProgram } from './gateway.js';

await runRole(gatewayProgram);
