/** A rectangle by its left upper corner. */
export interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface Anchor {
  /** What the label belongs to. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

/** Between a point and its label. */
export const LABEL_GAP = 9;

/**
 * Where labels go so that they stand beside their points, inside `bounds`, on no other label and, if that can be had, on none of the
 * `points`. In the order of `anchors`.
 */
export function placeLabels(
  anchors: readonly Anchor[],
  bounds: Box,
  points: readonly { x: number; y: number }[],
): Box[] {
  const placed: (Box | undefined)[] = anchors.map(() => undefined);
  // From the top, so that a crowd at the right edge is spread in its order.
  const order = anchors.map((_, i) => i).sort((a, b) => anchors[a]!.y - anchors[b]!.y);
  for (const i of order) {
    const taken = placed.filter((box) => box !== undefined);
    const cost = (box: Box, distance: number) =>
      (inside(box, bounds) ? 0 : 1e7) +
      1e5 * taken.filter((other) => overlap(box, other)).length +
      40 * points.filter((point) => covers(box, point)).length +
      distance;
    const options = places(anchors[i]!).map(({ box, distance }) => ({ box, cost: cost(box, distance) }));
    placed[i] = options.reduce((a, b) => (b.cost < a.cost ? b : a)).box;
  }
  return placed as Box[];
}

/**
 * Moves values apart so that neighbours are `gap` from each other, in their order and as little as possible (least squares), then into
 * `low` to `high` as far as they fit. In the order given.
 */
export function spread(values: readonly number[], gap: number, low: number, high: number): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  // Without the gaps, what is asked for is the nearest rising sequence: means of blocks that would fall.
  const blocks: { sum: number; count: number }[] = [];
  for (const [place, i] of order.entries()) {
    let block = { sum: values[i]! - place * gap, count: 1 };
    for (let last = blocks.at(-1); last && last.sum / last.count >= block.sum / block.count; last = blocks.at(-1)) {
      block = { sum: block.sum + last.sum, count: block.count + last.count };
      blocks.pop();
    }
    blocks.push(block);
  }
  const rising = blocks.flatMap(({ sum, count }) => Array<number>(count).fill(sum / count));
  const room = high - (values.length - 1) * gap;
  const moved: number[] = [];
  for (const [place, i] of order.entries()) {
    moved[i] = Math.max(low, Math.min(room, rising[place]!)) + place * gap;
  }
  return moved;
}

/** Right of the point first, then above, below and left of it, each nearer ones before farther ones. */
function places({ x, y, width, height }: Anchor): { box: Box; distance: number }[] {
  const shifts = Array.from({ length: 25 }, (_, i) => (i % 2 === 0 ? i / 2 : -(i + 1) / 2) * (height / 2));
  const at = (left: number, top: number, distance: number) => ({ box: { x: left, y: top, width, height }, distance });
  return shifts.flatMap((shift) => [
    at(x + LABEL_GAP, y - height / 2 + shift, Math.abs(shift)),
    at(x - width / 2, y - LABEL_GAP - height + Math.min(shift, 0), Math.abs(shift) + 20),
    at(x - width / 2, y + LABEL_GAP + Math.max(shift, 0), Math.abs(shift) + 22),
    at(x - LABEL_GAP - width, y - height / 2 + shift, Math.abs(shift) + 24),
  ]);
}

const inside = (box: Box, bounds: Box) =>
  box.x >= bounds.x &&
  box.y >= bounds.y &&
  box.x + box.width <= bounds.x + bounds.width &&
  box.y + box.height <= bounds.y + bounds.height;

export const overlap = (a: Box, b: Box) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

export const covers = (box: Box, { x, y }: { x: number; y: number }) =>
  x > box.x - 4 && x < box.x + box.width + 4 && y > box.y - 4 && y < box.y + box.height + 4;
