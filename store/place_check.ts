/** Positions and sequence numbers rise together; a record that was moved or repeated breaks that. */
import { StoreError } from "./errors.ts";
import type { Head } from "./head.ts";
import { recordName, type RecordPlace, RESTORE_HINT } from "./record.ts";

export class PlaceCheck {
  readonly #head: Head;
  /** The record before; at first one that stands before all. */
  readonly #last = { position: -1, sequence: 0, index: 0, count: 1 };

  constructor(head: Head) {
    this.#head = head;
  }

  /** Called with every record in position order. @throws {StoreError} `head_mismatch`, `record_altered` */
  next(position: number, place: RecordPlace): void {
    const { sequence, index, count } = place;
    if (sequence > this.#head.sequence || position >= this.#head.nextPosition) {
      throw new StoreError(
        "head_mismatch",
        `${
          recordName(position, place)
        } is newer than the head (sequence ${this.#head.sequence}, next position ${this.#head.nextPosition})`,
        { hint: RESTORE_HINT },
      );
    }
    const last = this.#last;
    const base = position - index;
    const follows = sequence === last.sequence
      ? position - last.position === index - last.index && count === last.count
      : sequence > last.sequence && base >= last.position - last.index + last.count;
    if (index >= count || base < 0 || !follows) {
      throw new StoreError(
        "record_altered",
        `${recordName(position, place)} does not belong in its place${
          last.position < 0 ? "" : `, after ${recordName(last.position, last)}`
        }: it was moved, repeated, or its header changed`,
        { hint: RESTORE_HINT },
      );
    }
    last.position = position;
    last.sequence = sequence;
    last.index = index;
    last.count = count;
  }
}
