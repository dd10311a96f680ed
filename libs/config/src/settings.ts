import { startupError } from '@onepass/errors';
import { z } from 'zod';

/**
 * Settings come from the environment, each under one name, read once at start. A service describes its own as a record of
 * `setting(...)`; `readSettings` answers a frozen, typed object or throws one sentence naming every variable that is wrong.
 */
export interface Setting<T> {
  readonly env: string;
  readonly description: string;
  readonly schema: z.ZodType<T, string | undefined>;
}

type Settings = Readonly<Record<string, Setting<unknown>>>;
export type SettingValues<S extends Settings> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** @throws OnepassError `startup` naming the variables. */
export function readSettings<S extends Settings>(
  settings: S,
  env: Readonly<Record<string, string | undefined>>,
): SettingValues<S> {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [name, setting] of Object.entries(settings)) {
    const raw = env[setting.env];
    // "Set but empty" reads as unset: shells and manifests produce it without meaning anything by it.
    const parsed = setting.schema.safeParse(raw === '' ? undefined : raw);
    if (parsed.success) values[name] = parsed.data;
    else problems.push(`${setting.env}: ${parsed.error.issues[0]?.message ?? 'invalid'}`);
  }
  if (problems.length > 0) throw startupError(problems.join('; '));
  return Object.freeze(values) as SettingValues<S>;
}

/** One line per setting for --help. */
export function describeSettings(settings: Settings): string {
  const width = Math.max(...Object.values(settings).map((s) => s.env.length));
  return Object.values(settings)
    .map((s) => `  ${s.env.padEnd(width)}  ${s.description}`)
    .join('\n');
}

/** A whole number within [minimum, maximum]. */
export function integer(
  env: string,
  description: string,
  options: { default: number; minimum: number; maximum: number },
): Setting<number> {
  const { minimum, maximum } = options;
  const range = `must be a whole number from ${minimum} to ${maximum}`;
  return {
    env,
    description: `${description} (default ${options.default}, ${minimum}..${maximum})`,
    schema: z
      .string()
      .optional()
      .transform((raw) => (raw === undefined ? options.default : Number(raw)))
      .refine((n) => Number.isSafeInteger(n) && n >= minimum && n <= maximum, range),
  };
}

/** A non-empty string, required unless a default is given. */
export function text(env: string, description: string, options: { default?: string } = {}): Setting<string> {
  const fallback = options.default;
  return {
    env,
    description: fallback === undefined ? `${description} (required)` : `${description} (default "${fallback}")`,
    schema: z
      .string()
      .optional()
      .transform((raw, context) => {
        const value = raw ?? fallback;
        if (value !== undefined) return value;
        context.addIssue({ code: 'custom', message: 'is required and not set' });
        return z.NEVER;
      }),
  };
}

/** One of a closed set of words. */
export function choice<const W extends string>(
  env: string,
  description: string,
  words: readonly W[],
  options: { default: NoInfer<W> },
): Setting<W> {
  return {
    env,
    description: `${description} (${words.join(' | ')}, default ${options.default})`,
    schema: z
      .string()
      .optional()
      .transform((raw, context) => {
        const word = words.find((w) => w === (raw ?? options.default));
        if (word !== undefined) return word;
        context.addIssue({ code: 'custom', message: `must be one of ${words.join(', ')}` });
        return z.NEVER;
      }),
  };
}

/**
 * A string of a shape of its own. `parse` answers the value, or throws an Error whose message ends the sentence
 * "VARIABLE: ...". Required unless a default is given.
 */
export function parsed<T>(
  env: string,
  description: string,
  parse: (raw: string) => T,
  options: { default?: string } = {},
): Setting<T> {
  const { description: described, schema } = text(env, description, options);
  return {
    env,
    description: described,
    schema: schema.transform((raw, context) => {
      try {
        return parse(raw);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message });
        return z.NEVER;
      }
    }),
  };
}
