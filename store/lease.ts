/**
 * Leases: a time to live that keys hang on. A lease is a record in the `system` keyspace, so that
 * granting moves no revision; the writer checks it when a key is put. What is left of a lease
 * survives a restart, and the time a master was down does not count, as in etcd.
 */
import type { Bytes } from "../backends/mod.ts";
import { StoreError } from "./errors.ts";
import {
  decodeLease,
  encodeLease,
  LEASE_PREFIX,
  leaseIdOf,
  leaseRecordKey,
} from "./lease_record.ts";
import type { Operation, Store } from "./types.ts";

/** etcd's default: one and a half election timeouts, in whole seconds. */
export const MIN_LEASE_TTL_SECONDS = 2;
/** etcd's `MaxLeaseTTL`. */
export const MAX_LEASE_TTL_SECONDS = 9_000_000_000;

/** A lease that lost a tenth of its time, and at least this much, since it was written is written again. */
const CHECKPOINT_MIN_MS = 10_000;
const CHECKPOINT_SHARE = 10;
/** Written in one transaction. */
const CHECKPOINT_BATCH = 1000;
/** Revoked by one call of `tick`. */
const EXPIRE_BATCH = 500;

export interface LeaseTimeToLive {
  readonly ttlSeconds: number;
  readonly grantedTtlSeconds: number;
}

interface Lease {
  readonly id: bigint;
  readonly ttlSeconds: number;
  /** On the clock that was passed in. */
  expiresAtMs: number;
  /** What the record in the store says. */
  persistedRemainingMs: number;
  /** Set while it is being revoked. */
  revoking: Promise<number> | undefined;
}

export interface LessorOptions {
  readonly store: Store;
  /** Milliseconds; only differences matter, so a monotonic clock is best. */
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
}

export class Lessor {
  readonly #store: Store;
  readonly #clock: () => number;
  readonly #random: (length: number) => Bytes;
  readonly #leases: Map<bigint, Lease>;
  readonly #granting = new Set<bigint>();
  #ticking: Promise<void> | undefined;

  private constructor(options: LessorOptions, leases: Map<bigint, Lease>) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#leases = leases;
  }

  /** Reads the leases of an opened store; each has as long left as it had at its last checkpoint. */
  static async open(options: LessorOptions): Promise<Lessor> {
    const start = new TextEncoder().encode(LEASE_PREFIX);
    const rangeEnd = start.slice();
    rangeEnd[rangeEnd.length - 1]!++;
    const { kvs } = await options.store.range("system", { key: start, rangeEnd });
    const now = options.clock();
    const leases = new Map<bigint, Lease>();
    for (const { key, value } of kvs) {
      const id = leaseIdOf(key);
      const { ttlSeconds, remainingMs } = decodeLease(value);
      leases.set(id, {
        id,
        ttlSeconds,
        expiresAtMs: now + remainingMs,
        persistedRemainingMs: remainingMs,
        revoking: undefined,
      });
    }
    return new Lessor(options, leases);
  }

  /**
   * @param id 0n: a random positive one is drawn
   * @throws {StoreError} `lease_exists`, `lease_ttl_too_large`
   */
  async grant(id: bigint, ttlSeconds: number): Promise<{ id: bigint; ttlSeconds: number }> {
    if (ttlSeconds > MAX_LEASE_TTL_SECONDS) {
      throw new StoreError(
        "lease_ttl_too_large",
        `ttl: ${ttlSeconds} seconds, at most ${MAX_LEASE_TTL_SECONDS}`,
      );
    }
    const granted = id === 0n ? this.#drawId() : id;
    if (this.#leases.has(granted) || this.#granting.has(granted)) {
      throw new StoreError("lease_exists", `lease ${granted} is there already`);
    }
    const ttl = Math.max(ttlSeconds, MIN_LEASE_TTL_SECONDS);
    this.#granting.add(granted);
    try {
      await this.#write([putRecord(granted, ttl, ttl * 1000)]);
    } finally {
      this.#granting.delete(granted);
    }
    this.#leases.set(granted, {
      id: granted,
      ttlSeconds: ttl,
      expiresAtMs: this.#clock() + ttl * 1000,
      persistedRemainingMs: ttl * 1000,
      revoking: undefined,
    });
    return { id: granted, ttlSeconds: ttl };
  }

  /**
   * Deletes the lease and, in the same revision, its keys.
   * @returns the revision of the `etcd` keyspace afterwards
   * @throws {StoreError} `lease_not_found`
   */
  async revoke(id: bigint): Promise<number> {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw notFound(id);
    if (lease.revoking !== undefined) {
      await lease.revoking;
      throw notFound(id);
    }
    lease.revoking = this.#revoke(lease);
    try {
      return await lease.revoking;
    } finally {
      lease.revoking = undefined;
    }
  }

  /**
   * The lease has its whole time again.
   * @returns its granted TTL in seconds @throws {StoreError} `lease_not_found`
   */
  async renew(id: bigint): Promise<number> {
    const lease = this.#leases.get(id);
    // One that is due waits for its end; etcd answers the same.
    if (lease === undefined) throw notFound(id);
    if (lease.revoking !== undefined || lease.expiresAtMs <= this.#clock()) {
      await this.#expireNow(lease);
      throw notFound(id);
    }
    lease.expiresAtMs = this.#clock() + lease.ttlSeconds * 1000;
    if (lease.persistedRemainingMs < lease.ttlSeconds * 1000) {
      // A restart must not take back what is promised now.
      await this.#checkpoint([lease]);
    }
    return lease.ttlSeconds;
  }

  /** @throws {StoreError} `lease_not_found` */
  timeToLive(id: bigint): LeaseTimeToLive {
    const lease = this.#leases.get(id);
    if (lease === undefined) throw notFound(id);
    const remaining = Math.trunc((lease.expiresAtMs - this.#clock()) / 1000);
    return { ttlSeconds: remaining, grantedTtlSeconds: lease.ttlSeconds };
  }

  /** The keys attached to a lease, in key order. */
  keys(id: bigint): readonly Bytes[] {
    return this.#store.leasedKeys(id);
  }

  /** Ids, the one that ends first first. */
  leases(): readonly bigint[] {
    return [...this.#leases.values()]
      .sort((a, b) => a.expiresAtMs - b.expiresAtMs)
      .map(({ id }) => id);
  }

  /** Revokes what is due and writes down what the others have left. To be called about twice a second. */
  tick(): Promise<void> {
    this.#ticking ??= this.#tick().finally(() => this.#ticking = undefined);
    return this.#ticking;
  }

  /** Writes down what every lease has left. */
  async close(): Promise<void> {
    await this.#ticking;
    await this.#checkpoint([...this.#leases.values()]);
  }

  async #tick(): Promise<void> {
    const now = this.#clock();
    const due: Lease[] = [];
    const stale: Lease[] = [];
    for (const lease of this.#leases.values()) {
      const remainingMs = lease.expiresAtMs - now;
      if (remainingMs <= 0) {
        if (due.length < EXPIRE_BATCH) due.push(lease);
        continue;
      }
      const lost = lease.persistedRemainingMs - remainingMs;
      if (lost < Math.max(CHECKPOINT_MIN_MS, lease.ttlSeconds * 1000 / CHECKPOINT_SHARE)) continue;
      stale.push(lease);
    }
    await Promise.all(due.map((lease) => this.#expireNow(lease)));
    await this.#checkpoint(stale);
  }

  async #expireNow(lease: Lease): Promise<void> {
    try {
      await this.revoke(lease.id);
    } catch (error) {
      // Somebody else revoked it meanwhile.
      if (!(error instanceof StoreError) || error.code !== "lease_not_found") throw error;
    }
  }

  async #revoke(lease: Lease): Promise<number> {
    const { revisions } = await this.#write([
      { type: "delete_leased", lease: lease.id },
      { type: "delete", keyspace: "system", key: leaseRecordKey(lease.id) },
    ]);
    this.#leases.delete(lease.id);
    return revisions.etcd;
  }

  async #checkpoint(leases: readonly Lease[]): Promise<void> {
    for (let at = 0; at < leases.length; at += CHECKPOINT_BATCH) {
      const now = this.#clock();
      const batch = leases.slice(at, at + CHECKPOINT_BATCH)
        .map((lease) => ({ lease, remainingMs: Math.max(0, lease.expiresAtMs - now) }))
        .filter(({ lease, remainingMs }) =>
          lease.revoking === undefined && remainingMs !== lease.persistedRemainingMs
        );
      if (batch.length === 0) continue;
      for (const { lease, remainingMs } of batch) lease.persistedRemainingMs = remainingMs;
      // A lease that is revoked meanwhile must not rise again: only what is there is overwritten.
      await this.#write(batch.map(({ lease, remainingMs }) => ({
        type: "txn",
        txn: {
          compare: [{
            keyspace: "system",
            key: leaseRecordKey(lease.id),
            target: "version",
            result: "greater",
            operand: 0,
          }],
          success: [putRecord(lease.id, lease.ttlSeconds, remainingMs)],
          failure: [],
        },
      })));
    }
  }

  #write(success: readonly Operation[]): ReturnType<Store["txn"]> {
    return this.#store.txn({ compare: [], success, failure: [] });
  }

  #drawId(): bigint {
    for (;;) {
      const bytes = this.#random(8);
      const id = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0) >> 1n;
      if (id !== 0n && !this.#leases.has(id) && !this.#granting.has(id)) return id;
    }
  }
}

function putRecord(id: bigint, ttlSeconds: number, remainingMs: number): Operation {
  const value = encodeLease({ ttlSeconds, remainingMs });
  return { type: "put", keyspace: "system", key: leaseRecordKey(id), value };
}

function notFound(id: bigint): StoreError {
  return new StoreError("lease_not_found", `lease ${id} is not there`);
}
