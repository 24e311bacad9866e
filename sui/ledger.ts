/**
 * The narrow port through which the master sees the Sui chain. A network failure is an error
 * (`LedgerUnavailable`), never a "no". A leaf: imports nothing of this project.
 */

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
    | { readonly kind: "immutable" };
  readonly contents: Uint8Array<ArrayBuffer>;
}

/** Where reading stopped: opaque to everyone but the ledger, total order within one ledger. */
export type EventCursor = string;

export interface LedgerEvent {
  /** Base58 transaction digest; with `eventIndex` the event's identity on chain. */
  readonly transactionDigest: string;
  readonly eventIndex: number;
  readonly checkpoint: bigint;
  readonly timestampMs: number | undefined;
  readonly packageId: string;
  readonly module: string;
  /** Canonical struct tag. */
  readonly type: string;
  readonly sender: string;
  /** BCS. */
  readonly contents: Uint8Array<ArrayBuffer>;
  /** Cursor to continue after this event. */
  readonly cursor: EventCursor;
}

export interface EventPage {
  readonly events: readonly LedgerEvent[];
  readonly hasMore: boolean;
  /** Cursor after the last thing looked at, even when no event matched. */
  readonly cursor: EventCursor | undefined;
}

export interface LedgerStatus {
  /** Base58 digest of the genesis checkpoint. */
  readonly chainId: string;
  readonly checkpoint: bigint;
  readonly checkpointTimestampMs: number | undefined;
}

export interface Ledger extends AsyncDisposable {
  status(signal?: AbortSignal): Promise<LedgerStatus>;
  /** `undefined` only when the node says that no such object is live. */
  getObject(id: string, signal?: AbortSignal): Promise<LedgerObject | undefined>;
  /** The field of a Table or dynamic field parent, by BCS name. Contents: the whole `Field<K, V>` in BCS. */
  getDynamicField(
    parentId: string,
    name: { readonly type: string; readonly bcs: Uint8Array<ArrayBuffer> },
    signal?: AbortSignal,
  ): Promise<LedgerObject | undefined>;
  /** Events emitted by one module after `after`, oldest first. */
  events(
    filter: { readonly packageId: string; readonly module: string },
    after: EventCursor | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<EventPage>;
}

/** The chain could not be asked. Says nothing about the answer. */
export class LedgerUnavailable extends Error {
  override readonly name = "LedgerUnavailable";
  readonly code = "ledger_unavailable";
}

/** The node answered something that cannot be: a wrong id, a malformed object. */
export class LedgerProtocolError extends Error {
  override readonly name = "LedgerProtocolError";
  readonly code = "ledger_protocol";
}
