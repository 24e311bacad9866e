/** What holds the newest state of a log outside the log, so that an older one can be told. */
import type { Bytes, MonotonicCounter } from "../backends/mod.ts";

/**
 * Against whom: a data directory put back by accident, or a host that turns back whatever it can
 * reach. `none`: what is checked goes back together with the store.
 */
export type RollbackProtection = "none" | "accident" | "host";

/**
 * A place for one small record: a file on another medium, a service, the chain. The record is
 * authenticated by the store; the place must only keep it and compare before it sets.
 */
export interface RecordAnchor {
  /** For people: "file /media/usb/nautilus.anchor". */
  readonly name: string;
  /** `host` only where the host of the store cannot turn the record back; `none` beside the store. */
  readonly protection: RollbackProtection;
  /** At most 256 bytes; undefined where nothing was ever set. @throws where it cannot be told. */
  read(): Promise<Bytes | undefined>;
  /** Sets the record if it is still `expected`; false where it is not. */
  compareAndSet(expected: Bytes | undefined, next: Bytes): Promise<boolean>;
}

export interface AnchorOptions {
  /** A monotonic counter of the TEE, and against whom it holds (the simulation's lies beside the store). */
  readonly counter?: {
    readonly counter: MonotonicCounter;
    readonly protection: RollbackProtection;
  };
  readonly records?: readonly RecordAnchor[];
  /**
   * Opens a store whose anchor is gone: one that is empty, or is not given any more. An anchor that
   * contradicts the log is refused still. Whoever can set this can hide a rollback from an anchor.
   */
  readonly acceptLost?: boolean;
  /** The anchors are advanced after so many transactions, at every open and at close; 1,000 by default. */
  readonly everyCommits?: number;
}

/** For `/health`. */
export interface FreshnessStatus {
  readonly protection: RollbackProtection;
  /** Up to here an older log would be refused. Undefined where `protection` is `none`. */
  readonly anchoredSequence: bigint | undefined;
  /** Anchors that were gone at this opening and were let go by the operator's word. */
  readonly acceptedLost: readonly string[];
  /** Why the last advance did not succeed, if it did not. */
  readonly problem: string | undefined;
}
