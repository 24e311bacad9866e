/**
 * Event cursors of the ledgers that read the chain itself: where the last event stands, so that
 * duplicates and answers from a node that fell behind are told apart and every ledger can go on
 * where another stopped, with the node's own opaque cursor behind it.
 *
 * `v2:<checkpoint>:<transaction index or ->:<event index>:<transaction digest>:<base64url>` after an
 * event, `v2:<checkpoint>:-:-:-:<base64url>` when everything up to and including `checkpoint` was
 * seen. The last part is what a gRPC node gave, empty where it was no gRPC node. Read, but no longer
 * written: `v1`, the same without the digest.
 */

/** Where reading stopped, as a gRPC node tells it. */
export interface CursorPosition {
  readonly checkpoint: bigint;
  /** Undefined: the whole checkpoint was covered. */
  readonly event: {
    readonly transactionIndex: bigint;
    readonly eventIndex: number;
    /** Base58; undefined in cursors of version 1. */
    readonly transactionDigest: string | undefined;
  } | undefined;
  /** What the node gave. */
  readonly token: Uint8Array<ArrayBuffer>;
}

/** Where reading stopped, as any ledger may have written it. */
export interface StoredPosition {
  readonly checkpoint: bigint;
  readonly event: {
    /** Undefined where the endpoint does not tell it. */
    readonly transactionIndex: bigint | undefined;
    readonly eventIndex: number;
    readonly transactionDigest: string | undefined;
  } | undefined;
  /** Of a gRPC node; undefined where it was none. */
  readonly token: Uint8Array<ArrayBuffer> | undefined;
}

const U64 = "(0|[1-9][0-9]{0,19})";
const DIGEST = "([1-9A-HJ-NP-Za-km-z]{32,44})";
const PATTERNS = {
  v1: new RegExp(`^v1:${U64}:(?:-:-|${U64}:(0|[1-9][0-9]{0,9})):()([A-Za-z0-9_-]{0,512})$`),
  v2: new RegExp(
    `^v2:${U64}:(?:-:-:-|(?:-|${U64}):(0|[1-9][0-9]{0,9}):${DIGEST}):([A-Za-z0-9_-]{0,512})$`,
  ),
} as const;

export function encodeCursor(position: StoredPosition): string {
  const { checkpoint, event, token } = position;
  const opaque = token?.toBase64({ alphabet: "base64url", omitPadding: true }) ?? "";
  if (event === undefined) return `v2:${checkpoint}:-:-:-:${opaque}`;
  if (event.transactionDigest === undefined) {
    if (event.transactionIndex === undefined) throw new TypeError("an event without a place");
    return `v1:${checkpoint}:${event.transactionIndex}:${event.eventIndex}:${opaque}`;
  }
  return `v2:${checkpoint}:${
    event.transactionIndex ?? "-"
  }:${event.eventIndex}:${event.transactionDigest}:${opaque}`;
}

/** `undefined` when the text is no cursor of these formats. */
export function decodeCursor(text: string): StoredPosition | undefined {
  const match = PATTERNS.v1.exec(text) ?? PATTERNS.v2.exec(text);
  if (match === null) return undefined;
  const [, checkpoint = "", transactionIndex, eventIndex, digest, token = ""] = match;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(token, { alphabet: "base64url" });
  } catch {
    return undefined;
  }
  return {
    checkpoint: BigInt(checkpoint),
    event: eventIndex === undefined ? undefined : {
      transactionIndex: transactionIndex === undefined ? undefined : BigInt(transactionIndex),
      eventIndex: Number(eventIndex),
      transactionDigest: digest === "" ? undefined : digest,
    },
    token: bytes.length === 0 ? undefined : bytes,
  };
}

type Place = Pick<CursorPosition, "checkpoint"> & {
  readonly event: { readonly transactionIndex: bigint; readonly eventIndex: number } | undefined;
};

/** Below 0, 0 or above 0, as `a` stands before, at or after `b` in the ledger. */
export function comparePositions(a: Place, b: Place): number {
  if (a.checkpoint !== b.checkpoint) return a.checkpoint < b.checkpoint ? -1 : 1;
  if (a.event === undefined || b.event === undefined) {
    return (a.event === undefined ? 1 : 0) - (b.event === undefined ? 1 : 0);
  }
  if (a.event.transactionIndex !== b.event.transactionIndex) {
    return a.event.transactionIndex < b.event.transactionIndex ? -1 : 1;
  }
  return a.event.eventIndex - b.event.eventIndex;
}
