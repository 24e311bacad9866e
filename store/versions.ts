/**
 * Every live version of every key, in columns: about 100 bytes a version and no object for it.
 * A version is named by its slot. With a version's header fields and tag in memory, whatever the
 * disk gives back for it later can be checked.
 */
import type { EntryMeta } from "./entry.ts";
import { TAG_BYTES } from "./record.ts";

const SEGMENT_BITS = 12;
const SEGMENT_SLOTS = 1 << SEGMENT_BITS;
const MASK = SEGMENT_SLOTS - 1;

/** "No older version", "no free slot". */
export const NO_SLOT = 0xffff_ffff;

class Segment {
  readonly position = new Float64Array(SEGMENT_SLOTS);
  readonly sequence = new Float64Array(SEGMENT_SLOTS);
  readonly modRevision = new Float64Array(SEGMENT_SLOTS);
  readonly createRevision = new Float64Array(SEGMENT_SLOTS);
  readonly version = new Float64Array(SEGMENT_SLOTS);
  readonly sub = new Uint32Array(SEGMENT_SLOTS);
  readonly index = new Uint32Array(SEGMENT_SLOTS);
  readonly count = new Uint32Array(SEGMENT_SLOTS);
  readonly origin = new Uint32Array(SEGMENT_SLOTS);
  readonly older = new Uint32Array(SEGMENT_SLOTS);
  readonly valueLength = new Uint32Array(SEGMENT_SLOTS);
  readonly keyspace = new Uint8Array(SEGMENT_SLOTS);
  readonly deleted = new Uint8Array(SEGMENT_SLOTS);
  readonly sealed = new Uint8Array(SEGMENT_SLOTS);
  readonly tag = new Uint8Array(SEGMENT_SLOTS * TAG_BYTES);
  readonly key: string[] = [];
}

/** Where a version stands in the log. */
export interface VersionPlace {
  readonly position: number;
  readonly sequence: number;
  readonly index: number;
  readonly count: number;
  /** Which key id and incarnation sealed it: see Origins. */
  readonly origin: number;
}

export class Versions {
  readonly #segments: Segment[] = [];
  readonly #leases = new Map<number, bigint>();
  #free = NO_SLOT;
  #next = 0;
  #live = 0;

  /** Slots in use. */
  get live(): number {
    return this.#live;
  }

  /** Slots ever made: every slot is below this. */
  get end(): number {
    return this.#next;
  }

  add(key: string, meta: EntryMeta, valueLength: number, older: number): number {
    let slot = this.#free;
    if (slot === NO_SLOT) {
      slot = this.#next++;
      if (slot >>> SEGMENT_BITS === this.#segments.length) this.#segments.push(new Segment());
    } else {
      this.#free = this.#segment(slot).older[slot & MASK]!;
    }
    this.#live++;
    const segment = this.#segment(slot);
    const i = slot & MASK;
    segment.key[i] = key;
    segment.modRevision[i] = meta.modRevision;
    segment.createRevision[i] = meta.createRevision;
    segment.version[i] = meta.version;
    segment.sub[i] = meta.sub;
    segment.keyspace[i] = meta.keyspace;
    segment.deleted[i] = meta.deleted ? 1 : 0;
    segment.valueLength[i] = valueLength;
    segment.older[i] = older;
    segment.position[i] = -1;
    segment.sealed[i] = 0;
    if (meta.lease !== 0n) this.#leases.set(slot, meta.lease);
    return slot;
  }

  /** Said once the version's record has its place, before it is sealed and durable. */
  place(slot: number, place: VersionPlace): void {
    const segment = this.#segment(slot);
    const i = slot & MASK;
    segment.position[i] = place.position;
    segment.sequence[i] = place.sequence;
    segment.index[i] = place.index;
    segment.count[i] = place.count;
    segment.origin[i] = place.origin;
  }

  /** The version's record was sealed in its place, or sealed anew there. */
  sealedBy(slot: number, origin: number, tag: Uint8Array): void {
    this.#segment(slot).origin[slot & MASK] = origin;
    this.setTag(slot, tag);
  }

  setTag(slot: number, tag: Uint8Array): void {
    const segment = this.#segment(slot);
    segment.tag.set(tag, (slot & MASK) * TAG_BYTES);
    segment.sealed[slot & MASK] = 1;
  }

  free(slot: number): void {
    const segment = this.#segment(slot);
    const i = slot & MASK;
    segment.key[i] = "";
    segment.position[i] = -1;
    segment.older[i] = this.#free;
    this.#free = slot;
    this.#live--;
    if (this.#leases.size > 0) this.#leases.delete(slot);
  }

  setOlder(slot: number, older: number): void {
    this.#segment(slot).older[slot & MASK] = older;
  }

  key(slot: number): string {
    return this.#segment(slot).key[slot & MASK]!;
  }
  older(slot: number): number {
    return this.#segment(slot).older[slot & MASK]!;
  }
  modRevision(slot: number): number {
    return this.#segment(slot).modRevision[slot & MASK]!;
  }
  createRevision(slot: number): number {
    return this.#segment(slot).createRevision[slot & MASK]!;
  }
  version(slot: number): number {
    return this.#segment(slot).version[slot & MASK]!;
  }
  sub(slot: number): number {
    return this.#segment(slot).sub[slot & MASK]!;
  }
  keyspace(slot: number): number {
    return this.#segment(slot).keyspace[slot & MASK]!;
  }
  deleted(slot: number): boolean {
    return this.#segment(slot).deleted[slot & MASK] === 1;
  }
  lease(slot: number): bigint {
    return this.#leases.get(slot) ?? 0n;
  }
  valueLength(slot: number): number {
    return this.#segment(slot).valueLength[slot & MASK]!;
  }
  /** -1 for a slot that is free or has no place yet. */
  position(slot: number): number {
    return this.#segment(slot).position[slot & MASK]!;
  }
  sequence(slot: number): number {
    return this.#segment(slot).sequence[slot & MASK]!;
  }
  index(slot: number): number {
    return this.#segment(slot).index[slot & MASK]!;
  }
  count(slot: number): number {
    return this.#segment(slot).count[slot & MASK]!;
  }
  origin(slot: number): number {
    return this.#segment(slot).origin[slot & MASK]!;
  }
  /** Whether the record was sealed, so that the tag is known. */
  sealed(slot: number): boolean {
    return this.#segment(slot).sealed[slot & MASK] === 1;
  }
  /** A view: 16 bytes, valid until the slot is freed. */
  tag(slot: number): Uint8Array {
    const at = (slot & MASK) * TAG_BYTES;
    return this.#segment(slot).tag.subarray(at, at + TAG_BYTES);
  }

  #segment(slot: number): Segment {
    return this.#segments[slot >>> SEGMENT_BITS]!;
  }
}
