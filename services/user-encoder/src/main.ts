#!/usr/bin/env node
import { runRole } from '@onepass/contracts';
import { userEncoderProgram } from './start.js';

await runRole(userEncoderProgram);
