/**
 * Copies of a log that is written to meanwhile: how far each one got, and what became of what it
 * has told. New records stand behind all others, so a copy that has caught up, with what changed
 * and without what went since it was told, is the log as it stands in that moment.
 */
import type { Bytes } from "../../backends/mod.ts";
import type { LogAppend, LogCopyPart, LogPage } from "../log.ts";

/** Removals told in one part: 512 KiB of positions. */
const MAX_REMOVALS = 65_536;
/** Records told once more in one part. */
const MAX_CHANGED = 256;

interface Copy {
  /** Everything below was told. */
  next: number;
  /** Told, and gone since. */
  readonly removed: number[];
  /** Told, and replaced since. */
  readonly changed: Set<number>;
}

/** The log in one instant. */
export interface CopySource {
  /** A page of records from a position on, and whether the log has none behind it. */
  page(from: number): { readonly page: LogPage; readonly end: boolean };
  /** The first of the records at these positions, one at least, as many as make a page. */
  records(positions: readonly number[]): LogPage;
  head(): Bytes | undefined;
  keyring(): Bytes | undefined;
}

export class Copies {
  readonly #copies = new Map<number, Copy>();

  /** The next part of a copy; the first one begins it, the last one ends it. */
  next(id: number, source: CopySource): LogCopyPart {
    let copy = this.#copies.get(id);
    if (copy === undefined) {
      copy = { next: 0, removed: [], changed: new Set() };
      this.#copies.set(id, copy);
    }
    const { removed, changed } = copy;
    const removals = Float64Array.from(removed.splice(0, MAX_REMOVALS));
    const again = source.records([...changed.values().take(MAX_CHANGED)]);
    for (const position of again.positions) changed.delete(position);
    const { page, end } = source.page(copy.next);
    const newest = page.positions.at(-1);
    if (newest !== undefined) copy.next = newest + 1;
    const last = end && removed.length === 0 && changed.size === 0;
    if (last) this.#copies.delete(id);
    return {
      page,
      removals,
      changed: again,
      end: last ? { head: source.head(), keyring: source.keyring() } : undefined,
    };
  }

  end(id: number): void {
    this.#copies.delete(id);
  }

  /** Called after every append, before anything else is read. */
  appended({ removals, replacements }: LogAppend): void {
    for (const copy of this.#copies.values()) {
      for (const position of replacements?.positions ?? []) {
        if (position < copy.next) copy.changed.add(position);
      }
      for (const position of removals) {
        if (position >= copy.next) continue;
        copy.changed.delete(position);
        copy.removed.push(position);
      }
    }
  }
}
