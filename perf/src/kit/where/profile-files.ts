/** Environment variable that names the folder which a profiled process leaves its profile in. */
export const FOLDER_VARIABLE = 'ONEPASS_BENCH_PROFILES';

/** What the profiler in a process leaves, in order. */
export const profileFiles = (pid: number) => ({ begun: `${pid}.begun`, profile: `${pid}.cpuprofile` });
