import type { LogNormal } from './gaps.js';

/**
 * What people do, and when. People come back by two laws of gaps, within a session and between sessions. That the gaps of one person
 * form two such clusters, minutes and about a day, is what Halfaker et al. found in search, page views, games and others ("User Session
 * Identification Based on Strong Regularities in Inter-activity Time", 2015); all numbers here are assumptions.
 */
export interface TraceParameters {
  /** The same seed, the same trace. */
  readonly seed: number;
  readonly durationMs: number;
  /** Pages a second, on average over whole periods of the rhythm. */
  readonly qps: number;
  /** Those whose histories are there before the trace begins: persons 0 to people - 1. Newcomers have the numbers from there. */
  readonly people: number;
  /** Share of the pages whose person had another one within `horizonMs` before. */
  readonly returning: number;
  /** For how long a person's KV is taken to be held. */
  readonly horizonMs: number;
  /** On average; sessions are shorter where `returning` leaves no room for them. */
  readonly pagesPerSession: number;
  /** Between two pages of a session. */
  readonly think: LogNormal;
  /** Between two sessions. */
  readonly away: LogNormal;
  /** New actions of a person from one page to the next, on average. */
  readonly actionsPerPage: number;
  readonly pageSize: number;
  /** The item at position i is acted upon with a probability proportional to (i + 1)^-positionBias. */
  readonly positionBias: number;
  /** Share of pages by newcomers, who bring a history, among pages by people who were not there within the horizon. */
  readonly joining: number;
  /** Actions that a newcomer brings. */
  readonly historyLength: number;
  /** How unequally active people are: 0 = equally. */
  readonly skew: number;
  /** Shares of the pages; the others are of the plain surface. */
  readonly surfaces: { readonly related: number; readonly search: number };
  /** The rate goes up and down by `swing` of itself. */
  readonly rhythm: { readonly periodMs: number; readonly swing: number };
}

export interface TracePage {
  readonly kind: 'page';
  readonly atMs: number;
  readonly person: number;
  readonly session: number;
  readonly surface: 'plain' | 'related' | 'search';
  /** In [0, 1): which item or query the page is about, where it is about one. */
  readonly about: number;
}

/** What a person did on a page, and elsewhere since. One event each: an action on the item at a position, or on any other item. */
export interface TraceActions {
  readonly kind: 'actions';
  readonly atMs: number;
  readonly person: number;
  /** Which page of the trace, counted from 0. */
  readonly page: number;
  readonly positions: readonly number[];
  /** In [0, 1): which items. */
  readonly elsewhere: readonly number[];
}

/** A newcomer's history is written. */
export interface TraceJoin {
  readonly kind: 'join';
  readonly atMs: number;
  readonly person: number;
  readonly actions: number;
}

export type TraceEvent = TracePage | TraceActions | TraceJoin;
