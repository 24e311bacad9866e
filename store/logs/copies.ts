/**
 * Copies of a log that is written to meanwhile: how far each one got, and what went away behind it.
 * Positions only rise and a record never changes, so that the parts read so far, without what was
 * removed since, are the log as it stands when the last part is read.
 */
import type { Bytes } from "../../backends/mod.ts";
import type { LogCopyPart, LogPage } from "../log.ts";

/** Removals told in one part: 512 KiB of positions. */
const MAX_REMOVALS = 65_536;

interface Copy {
  /** Everything below was read. */
  next: number;
  /** Read, and gone since. */
  readonly removed: number[];
  keyringChanged: boolean;
}

/** What a log tells about itself in one instant. */
export interface CopySource {
  /** A page of records from a position on, and whether the log has none behind it. */
  page(from: number): { readonly page: LogPage; readonly end: boolean };
  head(): Bytes | undefined;
  keyring(): Bytes | undefined;
}

export class Copies {
  readonly #copies = new Map<number, Copy>();

  /** The next part of a copy; the first one begins it, the last one ends it. */
  next(id: number, source: CopySource): LogCopyPart {
    let copy = this.#copies.get(id);
    if (copy === undefined) {
      copy = { next: 0, removed: [], keyringChanged: true };
      this.#copies.set(id, copy);
    }
    const removals = Float64Array.from(copy.removed.splice(0, MAX_REMOVALS));
    const keyring = copy.keyringChanged ? source.keyring() : undefined;
    copy.keyringChanged = false;
    const { page, end } = source.page(copy.next);
    const last = page.positions.at(-1);
    if (last !== undefined) copy.next = last + 1;
    const isLast = end && copy.removed.length === 0;
    if (isLast) this.#copies.delete(id);
    return { ...page, removals, keyring, head: isLast ? source.head() : undefined, last: isLast };
  }

  end(id: number): void {
    this.#copies.delete(id);
  }

  /** Called after every append, in the same turn. */
  appended(removals: Iterable<number>, keyringChanged: boolean): void {
    if (this.#copies.size === 0) return;
    for (const copy of this.#copies.values()) {
      if (keyringChanged) copy.keyringChanged = true;
    }
    for (const position of removals) {
      for (const copy of this.#copies.values()) {
        if (position < copy.next) copy.removed.push(position);
      }
    }
  }
}
