/** First in, first out of each sender; between senders one after the other, so that none waits for all that another sent. */
export interface FairQueue<Item> {
  readonly length: number;
  push(sender: string, item: Item): void;
  /** Before what its sender has here. */
  putBack(sender: string, item: Item): void;
  /** The next sender's oldest. */
  shift(): Item | undefined;
  /** What one sender has here: how many, and how large by `sizeOf`. */
  of(sender: string): { readonly items: number; readonly size: number };
}

interface Line<Item> {
  readonly items: Item[];
  size: number;
}

export function createFairQueue<Item>(sizeOf: (item: Item) => number): FairQueue<Item> {
  /** In the order of their turns; none is empty. */
  const lines = new Map<string, Line<Item>>();
  let length = 0;

  function add(sender: string, item: Item, where: 'push' | 'unshift'): void {
    const line = lines.get(sender) ?? { items: [], size: 0 };
    lines.set(sender, line);
    line.items[where](item);
    line.size += sizeOf(item);
    length += 1;
  }

  return {
    get length() {
      return length;
    },
    push: (sender, item) => add(sender, item, 'push'),
    putBack: (sender, item) => add(sender, item, 'unshift'),
    shift() {
      const [turn] = lines;
      if (!turn) return undefined;
      const [sender, line] = turn;
      const item = line.items.shift();
      lines.delete(sender);
      if (item === undefined) return undefined;
      length -= 1;
      line.size -= sizeOf(item);
      if (line.items.length > 0) lines.set(sender, line);
      return item;
    },
    of(sender) {
      const line = lines.get(sender);
      return { items: line?.items.length ?? 0, size: line?.size ?? 0 };
    },
  };
}
