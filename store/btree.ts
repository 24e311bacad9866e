/**
 * A B+tree from binary strings to non-negative integers. Ordered by `<`, which for binary strings
 * is the order of the bytes. Built for 10^6 keys: two arrays per 64 keys and no object per key.
 */

const MAX_ITEMS = 64;
const MIN_ITEMS = 16;

interface Leaf {
  readonly leaf: true;
  readonly keys: string[];
  readonly values: number[];
}

interface Branch {
  readonly leaf: false;
  /** keys[i] is the smallest key of children[i + 1]. */
  readonly keys: string[];
  readonly children: Node[];
}

type Node = Leaf | Branch;

export const NOT_FOUND = -1;

export class BTree {
  #root: Node = { leaf: true, keys: [], values: [] };
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** NOT_FOUND where the key is not there. */
  get(key: string): number {
    let node = this.#root;
    while (!node.leaf) node = node.children[upperBound(node.keys, key)]!;
    const i = lowerBound(node.keys, key);
    return node.keys[i] === key ? node.values[i]! : NOT_FOUND;
  }

  set(key: string, value: number): void {
    const split = this.#insert(this.#root, key, value);
    if (split !== undefined) {
      this.#root = { leaf: false, keys: [split.key], children: [this.#root, split.node] };
    }
  }

  /** Whether the key was there. */
  delete(key: string): boolean {
    const found = this.#remove(this.#root, key);
    if (!this.#root.leaf && this.#root.children.length === 1) this.#root = this.#root.children[0]!;
    return found;
  }

  /**
   * Calls `visit` for every key from `start` on and below `end` (undefined: no end), in order,
   * until it returns false. The tree must not change meanwhile.
   */
  scan(
    start: string,
    end: string | undefined,
    visit: (key: string, value: number) => boolean,
  ): void {
    scanNode(this.#root, start, end, visit);
  }

  #insert(node: Node, key: string, value: number): { key: string; node: Node } | undefined {
    if (node.leaf) {
      const i = lowerBound(node.keys, key);
      if (node.keys[i] === key) {
        node.values[i] = value;
        return undefined;
      }
      this.#size++;
      // Rising keys fill their leaves instead of leaving them half empty.
      const appended = i === node.keys.length;
      node.keys.splice(i, 0, key);
      node.values.splice(i, 0, value);
      if (node.keys.length <= MAX_ITEMS) return undefined;
      const at = appended ? MAX_ITEMS : node.keys.length >> 1;
      const right: Leaf = {
        leaf: true,
        keys: node.keys.splice(at),
        values: node.values.splice(at),
      };
      return { key: right.keys[0]!, node: right };
    }
    const i = upperBound(node.keys, key);
    const split = this.#insert(node.children[i]!, key, value);
    if (split === undefined) return undefined;
    node.keys.splice(i, 0, split.key);
    node.children.splice(i + 1, 0, split.node);
    if (node.children.length <= MAX_ITEMS) return undefined;
    const at = i + 2 === node.children.length ? MAX_ITEMS - 1 : node.children.length >> 1;
    const right: Branch = {
      leaf: false,
      keys: node.keys.splice(at),
      children: node.children.splice(at),
    };
    return { key: node.keys.pop()!, node: right };
  }

  #remove(node: Node, key: string): boolean {
    if (node.leaf) {
      const i = lowerBound(node.keys, key);
      if (node.keys[i] !== key) return false;
      node.keys.splice(i, 1);
      node.values.splice(i, 1);
      this.#size--;
      return true;
    }
    const i = upperBound(node.keys, key);
    if (!this.#remove(node.children[i]!, key)) return false;
    mergeSmall(node, i);
    return true;
  }
}

function items(node: Node): number {
  return node.leaf ? node.keys.length : node.children.length;
}

/** Joins child `i` with a neighbour where both fit into one node comfortably. */
function mergeSmall(parent: Branch, i: number): void {
  if (items(parent.children[i]!) >= MIN_ITEMS || parent.children.length < 2) return;
  const l = i + 1 < parent.children.length ? i : i - 1;
  const left = parent.children[l]!;
  const right = parent.children[l + 1]!;
  if (items(left) + items(right) > MAX_ITEMS - MIN_ITEMS) return;
  if (left.leaf && right.leaf) {
    left.keys.push(...right.keys);
    left.values.push(...right.values);
  } else if (!left.leaf && !right.leaf) {
    left.keys.push(parent.keys[l]!, ...right.keys);
    left.children.push(...right.children);
  }
  parent.keys.splice(l, 1);
  parent.children.splice(l + 1, 1);
}

function scanNode(
  node: Node,
  start: string,
  end: string | undefined,
  visit: (key: string, value: number) => boolean,
): boolean {
  if (node.leaf) {
    for (let i = lowerBound(node.keys, start); i < node.keys.length; i++) {
      const key = node.keys[i]!;
      if (end !== undefined && key >= end) return false;
      if (!visit(key, node.values[i]!)) return false;
    }
    return true;
  }
  for (let i = upperBound(node.keys, start); i < node.children.length; i++) {
    if (!scanNode(node.children[i]!, start, end, visit)) return false;
    const next = node.keys[i];
    if (next !== undefined && end !== undefined && next >= end) return false;
  }
  return true;
}

/** First index whose key is >= `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** First index whose key is > `key`. */
function upperBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! <= key) low = middle + 1;
    else high = middle;
  }
  return low;
}
