// For peer.test.ts: starts a peer that is stopped from the beginning, tells its process, and waits to be ended.
import { readFileSync } from 'node:fs';
import { Peer } from './peer.js';

const peer = new Peer(process.argv[2]!);
peer.pause();
console.log(readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim());
setInterval(() => {}, 1_000);
