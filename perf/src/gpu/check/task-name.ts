/** Parts of checks that want a process of their own: for a clean device, an environment, or their end. */
export type TaskName = 'reference' | 'wait' | 'kernels' | 'fits' | 'full device' | 'illegal address' | 'open and close';
