import { describe, expect, test } from 'vitest';
import { importProblems, importsOf, RULES, readWorkspace } from './imports.mjs';
import { root } from './paths.mjs';

/**
 * @param {string} folder
 * @param {{ dependencies?: string[], references?: string[], imports?: string[], test?: boolean }} [parts]
 */
function packageAt(folder, { dependencies = [], references, imports = [], test: isTest = false } = {}) {
  return {
    name: folder.split('/').at(-1) ?? '',
    folder,
    dependencies,
    devDependencies: [],
    references: references ?? dependencies.filter((d) => d.startsWith('@onepass/')).map((d) => `libs/${d.slice(9)}`),
    imports: imports.map((specifier) => ({ file: `${folder}/src/a.ts`, specifier, test: isTest })),
  };
}

/** @param {...import('./imports.mjs').Package} packages */
function problems(...packages) {
  return importProblems({ packages, rootDevDependencies: ['vitest'], rootReferences: packages.map((p) => p.folder) });
}

test('this repository keeps its own rules', async () => {
  expect(importProblems(await readWorkspace(root))).toEqual([]);
});

test('imports are found in every form, and not in comments', () => {
  const source = `// import 'no';
    /* import { a } from 'no' */
    import type { A } from 'a';
    import {
      b,
    } from "b";
    export * from './c.js';
    import 'd';
    const e = await import('e');
    const text = 'from';`;
  expect(importsOf(source)).toEqual(['a', 'b', './c.js', 'd', 'e']);
});

describe('a breach is named', () => {
  const errors = packageAt('libs/errors');
  const config = packageAt('libs/config', { dependencies: ['@onepass/errors'] });

  test('a lib on a later layer', () => {
    const upward = packageAt('libs/errors', { dependencies: ['@onepass/config'] });
    expect(problems(upward, packageAt('libs/config'))).toEqual([
      'libs/errors depends on libs/config, which is not in a layer before it',
    ]);
  });

  test('a lib without a layer', () => {
    expect(problems(packageAt('libs/novel'))[0]).toContain('libs/novel has no layer');
  });

  test('a service on a service', () => {
    const gateway = packageAt('services/gateway', {
      dependencies: ['@onepass/ranking'],
      references: ['services/ranking'],
    });
    expect(problems(gateway, packageAt('services/ranking'))).toEqual([
      'services/gateway depends on the service services/ranking: only processes meet services, over gRPC',
    ]);
  });

  test('a process of several roles that takes one which is not of them, or is taken itself', () => {
    const folders = ['user-encoder', 'ranking', 'retrieval'].map((name) => `services/${name}`);
    const cell = packageAt('services/device-cell', {
      dependencies: ['@onepass/user-encoder', '@onepass/ranking', '@onepass/retrieval'],
      references: folders,
    });
    const gateway = packageAt('services/gateway', {
      dependencies: ['@onepass/device-cell'],
      references: ['services/device-cell'],
    });
    expect(problems(cell, gateway, ...folders.map((folder) => packageAt(folder)))).toEqual([
      'services/device-cell depends on the service services/retrieval: only processes meet services, over gRPC',
      'services/gateway depends on the service services/device-cell: only processes meet services, over gRPC',
    ]);
  });

  test('a cycle', () => {
    const one = packageAt('libs/errors', { dependencies: ['@onepass/config'] });
    expect(problems(one, config).filter((p) => p.includes('itself'))).toHaveLength(2);
  });

  test('the gateway loading native code through a lib', () => {
    const memory = packageAt('libs/shared-memory', { dependencies: ['koffi'] });
    const kv = packageAt('libs/kv', { dependencies: ['@onepass/shared-memory'] });
    const gateway = packageAt('services/gateway', { dependencies: ['@onepass/kv'] });
    expect(problems(memory, kv, gateway)).toEqual(['gateway would load koffi through shared-memory']);
  });

  test('an import that is not declared', () => {
    const undeclared = packageAt('libs/config', { imports: ['@onepass/errors', 'node:fs'] });
    expect(problems(errors, undeclared)).toEqual([
      'libs/config/src/a.ts imports @onepass/errors, which libs/config/package.json does not declare',
    ]);
  });

  test("a test may use the root's tools, other code may not", () => {
    expect(problems(packageAt('libs/errors', { imports: ['vitest'], test: true }))).toEqual([]);
    expect(problems(packageAt('libs/errors', { imports: ['vitest'] }))).toHaveLength(1);
  });

  test('a native dependency outside its lib', () => {
    const found = problems(packageAt('libs/errors', { dependencies: ['koffi'], imports: ['koffi'] }));
    expect(found).toEqual([`libs/errors/src/a.ts imports koffi, which only ${RULES.onlyIn.koffi?.join(' and ')} may`]);
  });

  test('a reach into another package', () => {
    const found = problems(errors, packageAt('libs/config', { imports: ['../../errors/src/index.js', './near.js'] }));
    expect(found).toEqual(['libs/config/src/a.ts reaches out of its package with ../../errors/src/index.js']);
    const deep = packageAt('libs/config', {
      dependencies: ['@onepass/errors'],
      imports: ['@onepass/errors/dist/a.js'],
    });
    expect(problems(errors, deep)[0]).toContain('by its name alone');
    const suite = packageAt('libs/config', { dependencies: ['@onepass/errors'], imports: ['@onepass/errors/a.suite'] });
    expect(problems(errors, suite)[0]).toContain('by its name alone');
    const inTest = { ...suite, imports: suite.imports.map((one) => ({ ...one, test: true })) };
    expect(problems(errors, inTest)).toEqual([]);
  });

  test('tsconfig and package.json apart', () => {
    expect(problems(errors, { ...config, references: [] })[0]).toContain('does not refer to libs/errors');
    expect(
      problems(errors, { ...errors, folder: 'libs/config', name: 'config', references: ['libs/errors'] })[0],
    ).toContain('which package.json does not depend on');
    expect(importProblems({ packages: [errors], rootDevDependencies: [], rootReferences: [] })).toEqual([
      'tsconfig.json does not refer to libs/errors',
    ]);
  });
});
