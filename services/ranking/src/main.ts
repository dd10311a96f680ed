#!/usr/bin/env node
import { runRole } from '@onepass/contracts';
import { rankingProgram } from './ranking.js';

await runRole(rankingProgram);
