/**
 * The narrow port through which the master sees the Sui chain. A network failure is an error
 * (`LedgerUnavailable`), never a "no". A leaf: imports nothing of this project.
 */

/** Where the node that answered stood when it answered; from its response headers. */
export interface LedgerObservation {
  /** Base58 digest of the genesis checkpoint. */
  readonly chainId: string;
  /** Highest checkpoint executed by the node. */
  readonly checkpoint: bigint;
  /** Time of that checkpoint by the validators' clock, milliseconds since the epoch. */
  readonly timestampMs: number;
}

/** An object as it stands on chain, contents in BCS. */
export interface LedgerObject {
  /** 0x + 64 hex. */
  readonly id: string;
  readonly version: bigint;
  /** Base58. */
  readonly digest: string;
  /** Canonical struct tag, addresses in full length: `0x…64::module::Name`. */
  readonly type: string;
  readonly owner:
    | { readonly kind: "address"; readonly address: string }
    | { readonly kind: "object"; readonly id: string }
    | { readonly kind: "shared"; readonly initialVersion: bigint }
    | { readonly kind: "immutable" }
    | { readonly kind: "consensus_address"; readonly address: string };
  readonly contents: Uint8Array<ArrayBuffer>;
  /** Undefined where the node does not say. */
  readonly observed: LedgerObservation | undefined;
}

/** Where reading stopped: opaque to everyone but the ledger, total order within one ledger. */
export type EventCursor = string;

export interface LedgerEvent {
  /** Base58 transaction digest; with `eventIndex` the event's identity on chain. */
  readonly transactionDigest: string;
  readonly eventIndex: number;
  readonly checkpoint: bigint;
  /** Undefined: full nodes do not send it along with an event; the contract's own field tells. */
  readonly timestampMs: number | undefined;
  /** Package of the entry function that was called; not who defined the event. */
  readonly packageId: string;
  /** Module of the entry function that was called. */
  readonly module: string;
  /** Canonical struct tag: only the defining module can emit it. */
  readonly type: string;
  /** Who signed the transaction, 0x + 64 hex. */
  readonly sender: string;
  /** BCS. */
  readonly contents: Uint8Array<ArrayBuffer>;
  /** Cursor to continue after this event. */
  readonly cursor: EventCursor;
}

export interface EventPage {
  /** Strictly after the cursor asked for, strictly ascending, none twice. */
  readonly events: readonly LedgerEvent[];
  /** The node stopped before the tip; ask again at once. */
  readonly hasMore: boolean;
  /** Cursor after the last thing looked at, even when no event matched. Never behind `after`. */
  readonly cursor: EventCursor | undefined;
  /** Every event up to and including this checkpoint has been looked at; undefined: not known. */
  readonly covered: bigint | undefined;
}

/** Where to begin when there is no cursor yet. */
export interface EventStart {
  /** First checkpoint to look at. Absent: the oldest the node still has. */
  readonly checkpoint?: bigint;
}

export interface LedgerStatus {
  /** Base58 digest of the genesis checkpoint. */
  readonly chainId: string;
  readonly checkpoint: bigint;
  readonly checkpointTimestampMs: number | undefined;
  /** Lowest checkpoint whose events the node still has. */
  readonly lowestCheckpoint: bigint | undefined;
}

export interface Ledger extends AsyncDisposable {
  /** @throws {LedgerUnavailable} @throws {LedgerProtocolError} as every method here. */
  status(signal?: AbortSignal): Promise<LedgerStatus>;
  /** `undefined` only when the node says that no such object is live. */
  getObject(id: string, signal?: AbortSignal): Promise<LedgerObject | undefined>;
  /** The field of a Table or dynamic field parent, by BCS name. Contents: the whole `Field<K, V>` in BCS. */
  getDynamicField(
    parentId: string,
    name: { readonly type: string; readonly bcs: Uint8Array<ArrayBuffer> },
    signal?: AbortSignal,
  ): Promise<LedgerObject | undefined>;
  /**
   * Events whose type is defined in one module, after `after`, oldest first.
   *
   * @param filter package where the module was first published (type origin) and module name
   * @param limit most events wanted, 1 to 1000; the node may give fewer
   * @throws {LedgerHistoryPruned} when the node no longer has what follows `after`
   */
  events(
    filter: { readonly packageId: string; readonly module: string },
    after: EventCursor | EventStart | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<EventPage>;
}

interface LedgerErrorOptions {
  readonly cause?: unknown;
  readonly hint?: string;
}

/** The chain could not be asked. Says nothing about the answer. */
export class LedgerUnavailable extends Error {
  override readonly name = "LedgerUnavailable";
  readonly code = "ledger_unavailable";
  readonly hint: string | undefined;
  constructor(message: string, options: LedgerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
  }
}

/** The node answered something that cannot be: a wrong id, a malformed object. */
export class LedgerProtocolError extends Error {
  override readonly name = "LedgerProtocolError";
  readonly code = "ledger_protocol";
  readonly hint: string | undefined;
  constructor(message: string, options: LedgerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
  }
}

/** The registry of workers that is configured is none, or not this cluster's: nobody can be admitted. */
export class RegistryUnusable extends LedgerProtocolError {}

/** The node no longer holds the events that follow the cursor; another node may. */
export class LedgerHistoryPruned extends Error {
  override readonly name = "LedgerHistoryPruned";
  readonly code = "ledger_history_pruned";
  readonly hint: string | undefined;
  constructor(message: string, options: LedgerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
  }
}
