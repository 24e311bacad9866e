/**
 * Rollback: a log that is authentic, whole and old. Only what stands outside the log can tell.
 * The anchors are checked before anything is written, and advanced by compare-and-set at every
 * open, every N transactions and at close.
 */
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { BackendError, type Bytes } from "../backends/mod.ts";
import type { AnchorOptions, FreshnessStatus, RecordAnchor, RollbackProtection } from "./anchor.ts";
import { equalBytes } from "./bytes.ts";
import { StoreError } from "./errors.ts";
import { ANCHORED, type Head } from "./head.ts";
import type { IncarnationRecord } from "./incarnation.ts";
import { SUM_BYTES } from "./multiset.ts";
import { ID_BYTES, readU53, writeU53 } from "./record.ts";

const DEFAULT_EVERY_COMMITS = 1000;
const BODY_BYTES = ID_BYTES + ID_BYTES + 8 + SUM_BYTES;
const MAC_BYTES = 32;

/** What a record anchor holds. */
interface AnchoredState {
  readonly incarnation: Bytes;
  readonly sequence: number;
  readonly digest: Bytes;
}

interface Held {
  readonly anchor: RecordAnchor;
  /** The bytes that were last seen there. */
  bytes: Bytes | undefined;
}

const LOST_HINT =
  "if it is gone for good, recover with the operator's consent (`nautilus key rewrap " +
  "--accept-lost-anchor`; --accept-lost-anchor at the start of a simulation)";
const ROLLBACK_HINT =
  "an older copy of the data directory was put in place; put back the newest, or restore a backup";

export class Freshness {
  readonly #storeId: Bytes;
  readonly #key: Bytes;
  readonly #options: AnchorOptions;
  readonly #held: Held[] = [];
  readonly #everyCommits: number;
  /** The counter's value as last read or set. */
  #counter = 0n;
  #anchoredSequence: number | undefined;
  readonly #acceptedLost: string[] = [];
  #problem: string | undefined;
  #advancing: Promise<void> | undefined;

  /** @param key 32 bytes, derived from the KEK */
  constructor(storeId: Bytes, key: Bytes, options: AnchorOptions) {
    this.#storeId = storeId;
    this.#key = key;
    this.#options = options;
    this.#everyCommits = options.everyCommits ?? DEFAULT_EVERY_COMMITS;
  }

  get active(): boolean {
    return this.#options.counter !== undefined || (this.#options.records?.length ?? 0) > 0;
  }

  get advancing(): boolean {
    return this.#advancing !== undefined;
  }

  /** ANCHORED bits for the head. */
  get by(): number {
    return (this.#options.counter === undefined ? 0 : ANCHORED.counter) |
      ((this.#options.records?.length ?? 0) === 0 ? 0 : ANCHORED.record);
  }

  status(): FreshnessStatus {
    const strengths = [
      this.#options.counter?.protection,
      ...(this.#options.records ?? []).map((anchor) => anchor.protection),
    ];
    const protection: RollbackProtection = strengths.includes("host")
      ? "host"
      : strengths.includes("accident")
      ? "accident"
      : "none";
    return {
      protection,
      anchoredSequence: this.#anchoredSequence === undefined || protection === "none"
        ? undefined
        : BigInt(this.#anchoredSequence),
      acceptedLost: this.#acceptedLost,
      problem: this.#problem,
    };
  }

  /**
   * Compares the log with every anchor. Writes nothing.
   * @param incarnations that the log names, oldest first
   * @param recovering the store moved to another TEE, whose counter has never seen it
   * @throws {StoreError} `rollback`; `io` where an anchor cannot be asked: then nobody knows
   */
  async verify(
    head: Head | undefined,
    incarnations: readonly IncarnationRecord[],
    recovering = false,
  ): Promise<void> {
    await this.#verifyCounter(head, recovering);
    for (const anchor of this.#options.records ?? []) {
      const bytes = await ask(anchor.name, () => anchor.read());
      this.#held.push({ anchor, bytes });
      const state = bytes === undefined ? undefined : this.#decode(anchor, bytes);
      const wasAnchored = ((head?.anchoredBy ?? 0) & ANCHORED.record) !== 0;
      if (state === undefined && wasAnchored && this.#accepts(anchor.name)) continue;
      checkRecord(anchor, state, head, incarnations);
    }
    const by = head?.anchoredBy ?? 0;
    const isGone = (by & ANCHORED.record) !== 0 && this.#held.length === 0;
    if (isGone && !this.#accepts("the anchor record")) {
      throw new StoreError("rollback", "this store has an anchor record, none was given", {
        hint: `name the anchor again (--anchor-file); ${LOST_HINT}`,
      });
    }
  }

  /** What the counter will show once it is advanced; goes into the head first. */
  nextCounter(): number {
    return this.#options.counter === undefined ? 0 : Number(this.#counter) + 1;
  }

  /** Whether it is time again. */
  due(head: Head): boolean {
    return this.active && !this.advancing &&
      head.sequence - (this.#anchoredSequence ?? 0) >= this.#everyCommits;
  }

  /**
   * Advances every anchor to a durable head that names `nextCounter()`.
   * @throws {StoreError} `anchor_conflict`: somebody else was there. A place that cannot be reached
   * is told by `status` and tried again.
   */
  advance(head: Head): Promise<void> {
    this.#advancing ??= this.#advance(head).finally(() => this.#advancing = undefined);
    return this.#advancing;
  }

  close(): void {
    this.#key.fill(0);
  }

  async #verifyCounter(head: Head | undefined, recovering: boolean): Promise<void> {
    const options = this.#options.counter;
    const named = head?.anchorCounter ?? 0;
    const expected = !recovering &&
      ((head?.anchoredBy ?? 0) & ANCHORED.counter) !== 0;
    if (options === undefined) {
      if (!expected || this.#accepts("the TEE's counter")) return;
      throw new StoreError(
        "rollback",
        "this store counts by the TEE's counter, which is not there",
        {
          hint: `start it on the TEE that it was made on; ${LOST_HINT}`,
        },
      );
    }
    this.#counter = await ask("the TEE's counter", () => options.counter.read());
    if (!expected) return;
    const shown = Number(this.#counter);
    // One behind: the crash came between the append and the counter.
    if (shown === named || shown === named - 1) return;
    throw new StoreError(
      "rollback",
      shown > named
        ? `the TEE's counter shows ${shown}, the log ${named}: the log is an older one`
        : `the TEE's counter shows ${shown}, the log ${named}: the counter is another one`,
      { hint: ROLLBACK_HINT },
    );
  }

  /** Whether the operator let go of what is gone; then it is told. */
  #accepts(name: string): boolean {
    if (this.#options.acceptLost !== true) return false;
    this.#acceptedLost.push(name);
    return true;
  }

  async #advance(head: Head): Promise<void> {
    try {
      const options = this.#options.counter;
      while (options !== undefined && Number(this.#counter) < head.anchorCounter) {
        this.#counter = await options.counter.increment(this.#counter);
      }
      for (const held of this.#held) {
        const next = this.#encode(head);
        const set = await held.anchor.compareAndSet(held.bytes, next);
        if (!set) {
          throw new StoreError(
            "anchor_conflict",
            `${held.anchor.name} was advanced by somebody else: another master runs on a copy of this store`,
            { hint: "stop the other master; one copy of the data directory must go" },
          );
        }
        held.bytes = next;
      }
      this.#anchoredSequence = head.sequence;
      this.#problem = undefined;
    } catch (error) {
      if (error instanceof StoreError) throw error;
      if (error instanceof BackendError && error.code === "counter_conflict") {
        throw new StoreError(
          "anchor_conflict",
          "the TEE's counter was advanced by somebody else: another master runs on a copy of this store",
          { cause: error, hint: "stop the other master; one copy of the data directory must go" },
        );
      }
      this.#problem = error instanceof Error ? error.message : String(error);
    }
  }

  #encode(head: Head): Bytes {
    const out = new Uint8Array(BODY_BYTES + MAC_BYTES);
    const view = new DataView(out.buffer);
    out.set(this.#storeId);
    out.set(head.incarnation, ID_BYTES);
    writeU53(view, 2 * ID_BYTES, head.sequence);
    out.set(head.sum, 2 * ID_BYTES + 8);
    out.set(hmac(sha256, this.#key, out.subarray(0, BODY_BYTES)), BODY_BYTES);
    return out;
  }

  #decode(anchor: RecordAnchor, bytes: Bytes): AnchoredState {
    const body = bytes.subarray(0, BODY_BYTES);
    const mac = new Uint8Array(hmac(sha256, this.#key, body));
    if (
      bytes.length !== BODY_BYTES + MAC_BYTES ||
      !equalBytes(bytes.subarray(0, ID_BYTES), this.#storeId) ||
      !equalBytes(bytes.subarray(BODY_BYTES), mac)
    ) {
      throw new StoreError(
        "rollback",
        `${anchor.name} is not this store's anchor, or was altered`,
        {
          hint: "put back the anchor that belongs to this store",
        },
      );
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return {
      incarnation: bytes.slice(ID_BYTES, 2 * ID_BYTES),
      sequence: readU53(view, 2 * ID_BYTES) ?? 0,
      digest: bytes.slice(2 * ID_BYTES + 8, BODY_BYTES),
    };
  }
}

/** The log must hold what the anchor saw: the same incarnation in its lineage, at least as far. */
function checkRecord(
  anchor: RecordAnchor,
  state: AnchoredState | undefined,
  head: Head | undefined,
  incarnations: readonly IncarnationRecord[],
): void {
  const refuse = (what: string): never => {
    throw new StoreError("rollback", `${anchor.name}: ${what}`, { hint: ROLLBACK_HINT });
  };
  if (state === undefined) {
    if (((head?.anchoredBy ?? 0) & ANCHORED.record) !== 0) {
      throw new StoreError(
        "rollback",
        `${anchor.name}: it is empty, but this store was anchored there`,
        { hint: `put back the anchor that belongs to this store; ${LOST_HINT}` },
      );
    }
    return;
  }
  if (head === undefined) return refuse("it knows this store, but there is no log here");
  if (head.sequence < state.sequence) {
    return refuse(`it saw sequence ${state.sequence}, the log ends at ${head.sequence}`);
  }
  const at = incarnations.findIndex((one) => equalBytes(one.incarnation, state.incarnation));
  if (at < 0) {
    return refuse(
      `it saw incarnation ${state.incarnation.toHex()}, which is not in the log's past: a fork`,
    );
  }
  const next = incarnations[at + 1];
  const last = next === undefined ? head.sequence : next.previousSequence;
  if (last < state.sequence) {
    refuse(
      `it saw sequence ${state.sequence} of an incarnation that here ended at ${last}: a fork`,
    );
  }
  if (head.sequence === state.sequence && !equalBytes(head.sum, state.digest)) {
    refuse(`it saw another state at sequence ${state.sequence}: a fork`);
  }
}

async function ask<T>(name: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    throw new StoreError(
      "io",
      `${name} cannot be asked, so nobody knows if this log is the newest`,
      {
        cause,
        hint: "make the anchor reachable and start again",
      },
    );
  }
}
