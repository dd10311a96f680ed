import { sharedSlots } from './shared-slots.suite.js';
import { slotsModel } from './slots-model.suite.js';

slotsModel('shared memory', sharedSlots, 400);
