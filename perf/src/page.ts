import { startupError } from '@onepass/errors';
import { likedAction, plainSurface } from '@onepass/local';
import type { Release } from '@onepass/release';
import type { Shape } from './kit/measurements.js';

/** The page that is measured. */
export interface MeasuredPage {
  readonly surface: string;
  readonly pageSize: number;
  readonly candidates: number;
}

/** That of the release in the repository, which drills use. */
export const PAGE: MeasuredPage = { surface: 'home', pageSize: 20, candidates: 200 };

/** What people do in their histories: now and then more than usual. */
export interface Habits {
  readonly surface: string;
  readonly usual: readonly string[];
  readonly seldom: readonly string[];
}

/** Those of drills. */
export const HABITS: Habits = { surface: PAGE.surface, usual: ['click'], seldom: ['click', 'save'] };

/** @throws OnepassError `startup` for a release whose pages are all about a query or an item */
export function pageOf({ manifest }: Pick<Release, 'manifest'>): MeasuredPage {
  const surface = plainSurface(manifest.vocabulary.surfaces);
  if (surface === undefined) throw startupError('the release has no surface whose pages need neither query nor item');
  return { ...PAGE, surface, candidates: Math.min(PAGE.candidates, manifest.model.maxCandidates) };
}

/** What a release's pages look like: its whole window, and the candidates of a page. */
export function servedShape(release: Pick<Release, 'manifest'>): Shape {
  const { window, layers, width } = release.manifest.model;
  return { n: window, k: pageOf(release).candidates, layers, width };
}

/** The release's first action, and with it the one that stands for liking an item. */
export function habitsOf({ manifest }: Pick<Release, 'manifest'>, { surface }: MeasuredPage): Habits {
  const { actions } = manifest.vocabulary;
  const usual = actions[0]!.name;
  return { surface, usual: [usual], seldom: [...new Set([usual, likedAction(actions)])] };
}
