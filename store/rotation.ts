/**
 * Rotation of the data key while the store is used: a new key for everything written from now on,
 * then every older record sealed anew in its place, then the old key's end.
 *
 * Nothing but the keyring and the records themselves says how far it got, and every step is one
 * atomic append: after a crash at any point the store opens, and the rotation goes on with those
 * records that still name an older key.
 */
import type { Commits } from "./commits.ts";
import type { Checkpointer } from "./checkpointer.ts";
import type { Reseal } from "./group.ts";
import type { Incarnations } from "./incarnations.ts";
import type { Index } from "./index.ts";
import type { KeyChanges } from "./key_changes.ts";
import type { Pacer } from "./pacer.ts";
import type { Reader } from "./reader.ts";
import { RECORD_OVERHEAD } from "./record.ts";
import type { RecordSealer } from "./record_sealer.ts";
import type { RotationStatus } from "./types.ts";
import type { Writer } from "./writer.ts";

/** What one append seals anew at most, but for a single record that is larger: while others write… */
const BATCH_BYTES = 64 * 1024;
/** …and where nobody does: whoever comes then waits for one such append. */
const ALONE_BYTES = 1024 * 1024;
/** One record for so many bytes of a batch at most. */
const BYTES_PER_RECORD = 1024;
/** Versions looked at in one turn of the event loop. */
const SLOTS_PER_TURN = 16_384;

export interface RotationParts {
  readonly keys: KeyChanges;
  readonly index: Index;
  readonly reader: Reader;
  readonly sealer: RecordSealer;
  readonly incarnations: Incarnations;
  readonly checkpointer: Checkpointer;
  readonly commits: Commits;
  readonly writer: Writer;
  readonly pacer: Pacer;
  /** Resolves when no check that began before reads the log any more. */
  readonly checked: () => Promise<void>;
}

export class Rotation {
  readonly #parts: RotationParts;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #phase: RotationStatus["phase"] = "idle";
  #total = 0;
  #done = 0;
  #bytes = 0;
  #batchBytes = BATCH_BYTES;
  #startedAt = 0;

  constructor(parts: RotationParts) {
    this.#parts = parts;
  }

  status(): RotationStatus {
    const { keys, pacer } = this.#parts;
    return {
      phase: this.#phase,
      activeKey: keys.activeDek,
      recordsDone: this.#done,
      recordsTotal: this.#total,
      bytesDone: this.#bytes,
      elapsedMs: this.#running === undefined ? 0 : Math.round(pacer.now() - this.#startedAt),
    };
  }

  /**
   * Begins a rotation. One that is under way goes on instead, with the key that it has begun.
   * Resolves when the new key is in use, durably.
   */
  async start(): Promise<void> {
    if (this.#running !== undefined || this.#stop.signal.aborted) return;
    if (this.#parts.keys.hasRetired) return this.resume();
    const begun = Promise.withResolvers<void>();
    this.#run(async () => {
      await this.#parts.keys.beginDataKey();
      begun.resolve();
    });
    this.#running!.then(() => begun.resolve());
    await begun.promise;
  }

  /** Goes on with a rotation that did not come to its end. */
  resume(): void {
    if (this.#running !== undefined || !this.#parts.keys.hasRetired) return;
    this.#run(() => Promise.resolve());
  }

  /** Resolves when a running rotation is over (or the store stopped). */
  async finished(): Promise<void> {
    await this.#running;
  }

  /** Ends it where it stands; the next opening goes on. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  #run(begin: () => Promise<void>): void {
    const { pacer, writer } = this.#parts;
    this.#startedAt = pacer.now();
    this.#phase = "starting";
    this.#total = this.#done = this.#bytes = 0;
    this.#batchBytes = BATCH_BYTES;
    this.#running = this.#steps(begin).catch((error) => writer.fail(error)).finally(() => {
      this.#phase = "idle";
      this.#running = undefined;
    });
  }

  async #steps(begin: () => Promise<void>): Promise<void> {
    await begin();
    this.#phase = "records";
    this.#total = await this.#countOld();
    await this.#resealIncarnations();
    // One pass does it: what is written after the key began is under it. The others wait for records
    // whose removal is on its way.
    for (let left = this.#total; left > 0; left = await this.#countOld()) {
      if (!await this.#resealEntries()) return;
    }
    this.#phase = "checkpoint";
    await this.#renewCheckpoint();
    this.#phase = "finishing";
    await this.#parts.checked();
    if (this.#stop.signal.aborted) return;
    await this.#parts.keys.destroyRetired();
  }

  async #countOld(): Promise<number> {
    const { versions } = this.#parts.index;
    let old = 0;
    for (let slot = 0; slot < versions.end; slot++) {
      if (slot % SLOTS_PER_TURN === 0) await this.#parts.pacer.pause(0, this.#stop.signal);
      if (this.#isOld(slot)) old++;
    }
    return old;
  }

  async #resealIncarnations(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const reseals = this.#parts.incarnations.reseals(this.#parts.sealer);
    if (reseals.length > 0) await this.#commit(reseals);
  }

  /** False: it is to end here. */
  async #resealEntries(): Promise<boolean> {
    const { versions } = this.#parts.index;
    let batch: number[] = [];
    let bytes = 0;
    for (let slot = 0; slot < versions.end; slot++) {
      if (slot % SLOTS_PER_TURN === 0) await this.#parts.pacer.pause(0, this.#stop.signal);
      if (!this.#isOld(slot)) continue;
      batch.push(slot);
      bytes += versions.valueLength(slot) + versions.key(slot).length + RECORD_OVERHEAD;
      const room = this.#batchBytes;
      if (bytes < room && batch.length < room / BYTES_PER_RECORD) continue;
      if (!await this.#resealBatch(batch)) return false;
      batch = [];
      bytes = 0;
    }
    return await this.#resealBatch(batch);
  }

  /** False: it is to end here. */
  async #resealBatch(slots: readonly number[]): Promise<boolean> {
    const { writer, pacer } = this.#parts;
    if (this.#stop.signal.aborted) return false;
    const startedAt = pacer.now();
    const sequence = writer.head.sequence;
    const reseals = (await Promise.all(slots.map((slot) => this.#reseal(slot))))
      .filter((reseal) => reseal !== undefined);
    if (reseals.length > 0) await this.#commit(reseals);
    this.#done += slots.length;
    for (const { plaintext } of reseals) this.#bytes += plaintext.length;
    // Others are at work: they get at least as much of the disk as this.
    const others = writer.head.sequence - sequence - 1;
    this.#batchBytes = others > 0 ? BATCH_BYTES : Math.min(ALONE_BYTES, this.#batchBytes * 2);
    await pacer.pause(others > 0 ? pacer.now() - startedAt : 0, this.#stop.signal);
    return !this.#stop.signal.aborted;
  }

  /** Undefined: its record went away while it was read. */
  async #reseal(slot: number): Promise<Reseal | undefined> {
    const { index, reader, commits } = this.#parts;
    const position = index.versions.position(slot);
    if (!this.#isOld(slot)) return undefined;
    const value = index.valueAtHand(slot) ?? await reader.load(slot, false);
    if (value === undefined || index.versions.position(slot) !== position) return undefined;
    return commits.reseal(slot, position, value);
  }

  /** Chunks of the index checkpoint that need an older key are written anew, one an append. */
  async #renewCheckpoint(): Promise<void> {
    const { checkpointer, keys, writer } = this.#parts;
    while (checkpointer.behind(keys.activeDek) > 0) {
      if (this.#stop.signal.aborted) return;
      await checkpointer.step(writer.head.sequence);
      await this.#commit([]);
      await this.#parts.pacer.pause(0, this.#stop.signal);
    }
  }

  #isOld(slot: number): boolean {
    const { index: { versions }, sealer, keys } = this.#parts;
    return versions.position(slot) >= 0 && versions.sealed(slot) &&
      sealer.originOf(versions.origin(slot)).keyId !== keys.activeDek;
  }

  async #commit(reseals: readonly Reseal[]): Promise<void> {
    const { writer, commits, keys } = this.#parts;
    if (keys.isRecordKeyDue) await keys.renewIncarnation();
    await new Promise<void>((resolve, reject) => {
      writer.submit({
        prepare: (place) => ({
          commit: commits.of(place, {
            reseals,
            publish: () => {
              commits.resealed(reseals);
              resolve();
            },
            reject,
          }),
        }),
        reject,
      });
    });
  }
}
