import type { Release } from '@onepass/release';
import { expect, test } from 'vitest';
import { habitsOf, PAGE, pageOf } from './page.js';

const action = (name: string, utilityWeight: number) => ({ name, negative: false, utilityWeight });
function release(surfaces: string[], ...actions: ReturnType<typeof action>[]): Pick<Release, 'manifest'> {
  return { manifest: { vocabulary: { surfaces, actions }, model: { maxCandidates: 150 } } } as unknown as Release;
}

test('pages and histories are in the names of the release', () => {
  const own = release(['related', 'front'], action('watch', 0.1), action('like', 1));
  const page = pageOf(own);
  expect(page).toEqual({ ...PAGE, surface: 'front', candidates: 150 });
  expect(habitsOf(own, page)).toEqual({ surface: 'front', usual: ['watch'], seldom: ['watch', 'like'] });
  expect(habitsOf(release(['front'], action('watch', 1)), page).seldom).toEqual(['watch']);
});

test('a release without such a surface is refused', () => {
  expect(() => pageOf(release(['search'], action('watch', 1)))).toThrow('no surface whose pages need neither');
});
