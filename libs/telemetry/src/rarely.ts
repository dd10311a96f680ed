import type { Logger } from './logger.js';

/** Sentences remembered: there are far fewer, unless one holds something that varies. */
const REMEMBERED = 1_000;

/**
 * A logger that says one sentence at most every `everyMs`, for what may come with every request. The next time it is said, `unsaid` is how
 * often it was left out.
 * @param now a clock, in ms
 */
export function rarely(logger: Logger, everyMs = 10_000, now: () => number = () => performance.now()): Logger {
  const said = new Map<string, { at: number; unsaid: number }>();
  const say = (level: keyof Logger) => (fields: object, message: string) => {
    const before = said.get(message);
    if (before !== undefined && now() - before.at < everyMs) {
      before.unsaid++;
      return;
    }
    if (said.size >= REMEMBERED) said.clear();
    said.set(message, { at: now(), unsaid: 0 });
    logger[level](before?.unsaid ? { ...fields, unsaid: before.unsaid } : fields, message);
  };
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
}
