/** Values by key, the largest key out first. */
export class MaxHeap {
  readonly #entries: { readonly key: number; readonly value: number }[] = [];

  push(key: number, value: number): void {
    const entries = this.#entries;
    let at = entries.push({ key, value }) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (entries[parent]!.key >= entries[at]!.key) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): { readonly key: number; readonly value: number } | undefined {
    const entries = this.#entries;
    const [top] = entries;
    const last = entries.pop();
    if (entries.length === 0 || last === undefined) return top;
    entries[0] = last;
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      let largest = at;
      if (left < entries.length && entries[left]!.key > entries[largest]!.key) largest = left;
      if (right < entries.length && entries[right]!.key > entries[largest]!.key) largest = right;
      if (largest === at) return top;
      this.#swap(at, largest);
      at = largest;
    }
  }

  #swap(a: number, b: number): void {
    const entries = this.#entries;
    [entries[a], entries[b]] = [entries[b]!, entries[a]!];
  }
}
