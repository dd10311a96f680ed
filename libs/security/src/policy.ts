import { PRIORITIES, type Priority } from '@onepass/admission';
import { startupError } from '@onepass/errors';
import { z } from 'zod';
import { type Caller, PRIVILEGES, type Privilege } from './guard.js';
import type { Limits } from './limits.js';

/** One caller of the policy. */
export interface PolicyCaller extends Caller {
  readonly limits: Limits;
  /** @param method full path, `/onepass.gateway.v1.RecommendationService/Recommend` */
  mayCall(method: string): boolean;
}

/** Who may call what. A caller or method that is not in it may not. */
export interface Policy {
  readonly callers: readonly PolicyCaller[];
  /** The caller that the first of `identities` known to the policy belongs to. */
  callerOf(identities: readonly string[]): PolicyCaller | undefined;
}

const positive = z.number().positive();
const callerSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be of small letters, digits, ".", "_" and "-", at most 64'),
  identities: z.array(z.string().min(1)).min(1),
  methods: z.array(z.string()),
  privileges: z.array(z.enum(PRIVILEGES)).default([]),
  highestPriority: z.enum(PRIORITIES).default('interactive'),
  limits: z
    .strictObject({
      requestsPerSecond: positive.optional(),
      burst: z.int().min(1).optional(),
      concurrent: z.int().min(1).optional(),
    })
    .refine(({ burst, requestsPerSecond }) => burst === undefined || requestsPerSecond !== undefined, {
      path: ['burst'],
      message: 'means nothing without requestsPerSecond',
    })
    .default({}),
});
const policySchema = z.strictObject({ callers: z.array(callerSchema) });
type CallerEntry = z.infer<typeof callerSchema>;

/**
 * @param text JSON
 * @param where begins the sentence of what is wrong
 * @param methods that exist anywhere in the mesh, as full paths: a policy that names another one is mistaken
 * @throws OnepassError `startup` naming the field
 */
export function parsePolicy(text: string, where: string, methods: ReadonlySet<string>): Policy {
  const parsed = policySchema.safeParse(parseJson(text, where));
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw startupError(`${where}: ${path.length > 0 ? `${fieldPath(path)}: ` : ''}${message}`);
  }
  const { callers } = parsed.data;
  const problem = repeated(callers) ?? unknownMethod(callers, methods);
  if (problem !== undefined) throw startupError(`${where}: ${problem}`);
  const known = callers.map(policyCaller);
  const byIdentity = new Map(callers.flatMap(({ identities }, i) => identities.map((id) => [id, known[i]!] as const)));
  return {
    callers: known,
    callerOf: (identities) => byIdentity.get(identities.find((identity) => byIdentity.has(identity)) ?? ''),
  };
}

function policyCaller({ name, limits, methods, privileges, highestPriority }: CallerEntry): PolicyCaller {
  const patterns = new Set(methods.map((method) => `/${method}`));
  const held = new Set<Privilege>(privileges);
  return {
    name,
    limits,
    mayCall: (method) => patterns.has(method) || patterns.has(everyMethodOf(method)),
    may: (privilege) => held.has(privilege),
    priority: (asked) => lower(asked, highestPriority),
  };
}

function lower(a: Priority, b: Priority): Priority {
  return PRIORITIES.indexOf(a) > PRIORITIES.indexOf(b) ? a : b;
}

/** `/a.b.Service/Method` to `/a.b.Service/*`. */
function everyMethodOf(method: string): string {
  return `${method.slice(0, method.lastIndexOf('/'))}/*`;
}

function repeated(callers: readonly CallerEntry[]): string | undefined {
  const seen = new Map<string, string>();
  for (const [i, { name, identities }] of callers.entries()) {
    const fields = [
      [`name "${name}"`, `callers[${i}].name`],
      ...identities.map((identity, j) => [`identity "${identity}"`, `callers[${i}].identities[${j}]`]),
    ];
    for (const [what = '', field = ''] of fields) {
      const before = seen.get(what);
      if (before !== undefined) return `${field}: ${what} is that of ${before} too`;
      seen.set(what, field);
    }
  }
  return undefined;
}

function unknownMethod(callers: readonly CallerEntry[], methods: ReadonlySet<string>): string | undefined {
  const known = new Set([...methods, ...[...methods].map(everyMethodOf)]);
  for (const [i, caller] of callers.entries()) {
    const j = caller.methods.findIndex((method) => !known.has(`/${method}`));
    if (j >= 0) {
      return `callers[${i}].methods[${j}]: there is no method "${caller.methods[j]}"; it must look like package.v1.Service/Method or package.v1.Service/*`;
    }
  }
  return undefined;
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw startupError(`${where} is not JSON: ${(error as Error).message}`, error);
  }
}

function fieldPath(parts: readonly PropertyKey[]): string {
  return parts
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');
}
