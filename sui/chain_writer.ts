/**
 * The narrow port through which the master changes the chain: what a transaction needs, and its
 * execution. A network failure is an error and says nothing about whether the transaction happened.
 */

/** An object as a transaction names it. */
export interface ObjectRef {
  /** 0x + 64 hex. */
  readonly objectId: string;
  /** Decimal. */
  readonly version: string;
  /** Base58. */
  readonly digest: string;
}

export interface GasCoin extends ObjectRef {
  readonly balanceMist: bigint;
}

/** What the validators made of a transaction. */
export type Execution =
  | { readonly status: "done" }
  /** It happened, failed, and cost its gas. */
  | { readonly status: "failed"; readonly reason: string }
  /** It was not taken: an object has moved on, the gas does not suffice, the signature is bad. */
  | { readonly status: "refused"; readonly reason: string };

export interface ChainWriter extends AsyncDisposable {
  /** MIST for a unit of computation. @throws {LedgerUnavailable} @throws {LedgerProtocolError} as all */
  referenceGasPrice(signal: AbortSignal): Promise<bigint>;
  /** SUI coins of an address, 50 at most. */
  gasCoins(owner: string, signal: AbortSignal): Promise<readonly GasCoin[]>;
  /**
   * Executes a signed transaction. The same bytes again are the same transaction.
   *
   * @param transaction BCS of TransactionData
   * @param signature serialized, base64
   */
  execute(
    transaction: Uint8Array,
    signature: string,
    signal: AbortSignal,
  ): Promise<Execution>;
}
