/** The incarnations that the log still names, and the beginning of the next one. */
import type { Bytes } from "../backends/mod.ts";
import type { NewRecord, Removal } from "./group.ts";
import { encodeIncarnation, type IncarnationReason } from "./incarnation.ts";
import type { LiveIncarnation } from "./load.ts";
import { ID_BYTES, RECORD_KIND } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";

/** So many of the newest are kept in the log. */
const KEPT = 64;

export class Incarnations {
  readonly #live: LiveIncarnation[];
  readonly #keyId: number;
  readonly #clock: () => number;
  readonly #random: (length: number) => Bytes;

  constructor(options: {
    readonly live: readonly LiveIncarnation[];
    readonly keyId: number;
    /** Milliseconds since the epoch. */
    readonly clock: () => number;
    readonly random: (length: number) => Bytes;
  }) {
    this.#live = [...options.live];
    this.#keyId = options.keyId;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /** Oldest first. */
  get live(): readonly LiveIncarnation[] {
    return this.#live;
  }

  /** Draws the next incarnation and switches the sealer to it. The record must go into this place. */
  async begin(
    sealer: RecordSealer,
    reason: IncarnationReason,
    place: { readonly sequence: number; readonly position: number },
  ): Promise<{ record: NewRecord; removals: readonly Removal[] }> {
    const record = {
      reason,
      incarnation: this.#random(ID_BYTES),
      previous: this.#live.at(-1)?.incarnation ?? new Uint8Array(ID_BYTES),
      previousSequence: place.sequence - 1,
      timeMs: Math.max(0, Math.trunc(this.#clock())),
    };
    await sealer.begin(this.#keyId, record.incarnation);
    const old = this.#live.splice(0, Math.max(0, this.#live.length - (KEPT - 1)));
    return {
      record: {
        kind: RECORD_KIND.incarnation,
        plaintext: encodeIncarnation(record),
        onSealed: (header, tag) => {
          const { position } = place;
          this.#live.push({
            ...record,
            removal: { position, header: new Uint8Array(header), tag: new Uint8Array(tag) },
          });
        },
      },
      removals: old.map((live) => live.removal),
    };
  }
}
