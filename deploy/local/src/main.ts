#!/usr/bin/env node
import { runLocal } from './local.js';

process.exit(await runLocal(process.argv.slice(2), Date.now()));
