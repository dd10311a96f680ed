/** Surfaces whose pages are about something that the request must say. */
const ABOUT_SOMETHING: readonly string[] = ['search', 'related'];

/** A surface whose pages need neither a query nor an item: home, else the release's first; undefined = it has none. */
export function plainSurface(surfaces: readonly string[]): string | undefined {
  return surfaces.includes('home') ? 'home' : surfaces.find((surface) => !ABOUT_SOMETHING.includes(surface));
}

interface Action {
  readonly name: string;
  readonly negative: boolean;
  readonly utilityWeight: number;
}

/** The action that stands for liking an item: a save, else what is worth most to a page. */
export function likedAction(actions: readonly Action[]): string {
  const best = actions.filter((action) => !action.negative).sort((a, b) => b.utilityWeight - a.utilityWeight);
  return best.find(({ name }) => name === 'save')?.name ?? best[0]?.name ?? actions[0]?.name ?? '';
}
