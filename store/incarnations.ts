/** The incarnations that the log still names, and the beginning of the next one. */
import type { Bytes } from "../backends/mod.ts";
import { headerBytes, type NewRecord, type Removal, type Reseal } from "./group.ts";
import { encodeIncarnation, type IncarnationReason } from "./incarnation.ts";
import type { LiveIncarnation } from "./loader.ts";
import { ID_BYTES, RECORD_KIND } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import type { Restoration } from "./types.ts";

/** So many of the newest are kept in the log. */
const KEPT = 64;

/** What the commit that begins an incarnation must hold. */
export interface IncarnationStep {
  readonly record: NewRecord;
  readonly removals: () => readonly Removal[];
  /** Switches the sealer; called when the commit is sealed, after all that was before it. */
  readonly begin: () => void;
}

export class Incarnations {
  readonly #live: LiveIncarnation[];
  readonly #clock: () => number;
  readonly #random: (length: number) => Bytes;

  constructor(options: {
    readonly live: readonly LiveIncarnation[];
    /** Milliseconds since the epoch. */
    readonly clock: () => number;
    readonly random: (length: number) => Bytes;
  }) {
    this.#live = [...options.live];
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /** The newest one that began because the store came back from elsewhere. */
  restoration(): Restoration | undefined {
    for (const { reason, incarnation, timeMs } of this.#live.toReversed()) {
      if (reason === "restore" || reason === "recover") return { reason, incarnation, timeMs };
    }
    return undefined;
  }

  /** Draws the next incarnation, under a data key. Its record must go into this place. */
  async begin(
    sealer: RecordSealer,
    keyId: number,
    reason: IncarnationReason,
    { position, sequence }: { readonly sequence: number; readonly position: number },
  ): Promise<IncarnationStep> {
    const incarnation = this.#random(ID_BYTES);
    const record = {
      reason,
      incarnation,
      previous: this.#live.at(-1)?.incarnation ?? new Uint8Array(ID_BYTES),
      previousSequence: sequence - 1,
      timeMs: Math.max(0, Math.trunc(this.#clock())),
    };
    const begin = await sealer.prepare(keyId, incarnation);
    const old = this.#live.splice(0, Math.max(0, this.#live.length - (KEPT - 1)));
    const { storeId } = sealer;
    const kind = RECORD_KIND.incarnation;
    return {
      record: {
        kind,
        plaintext: encodeIncarnation(record),
        onSealed: (_header, tag) => {
          const header = { kind, keyId, storeId, incarnation, sequence, index: 0, count: 1 };
          this.#live.push({ ...record, position, header, tag: new Uint8Array(tag) });
        },
      },
      removals: () =>
        old.map((live) => ({
          position: live.position,
          header: headerBytes(live.header),
          tag: live.tag,
        })),
      begin,
    };
  }

  /** Those that were sealed under another data key than the current one. */
  reseals(sealer: RecordSealer): readonly Reseal[] {
    const { keyId } = sealer.current;
    return this.#live.filter((live) => live.header.keyId !== keyId).map((live) => ({
      position: live.position,
      plaintext: encodeIncarnation(live),
      stands: () => this.#live.includes(live) ? live : undefined,
      onSealed: (_header, tag) => {
        const { keyId, incarnation } = sealer.current;
        live.header = { ...live.header, keyId, incarnation };
        live.tag = new Uint8Array(tag);
      },
    }));
  }
}
