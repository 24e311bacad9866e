/**
 * Event cursors of the gRPC ledger: the node's own opaque cursor, with the position of the last
 * event in front of it, so that duplicates and answers from a node that fell behind are told apart.
 *
 * `v1:<checkpoint>:<transaction index>:<event index>:<base64url>` after an event,
 * `v1:<checkpoint>:-:-:<base64url>` when everything up to and including `checkpoint` was seen.
 */

export interface CursorPosition {
  readonly checkpoint: bigint;
  /** Undefined: the whole checkpoint was covered. */
  readonly event: { readonly transactionIndex: bigint; readonly eventIndex: number } | undefined;
  /** What the node gave. */
  readonly token: Uint8Array<ArrayBuffer>;
}

const PATTERN =
  /^v1:(0|[1-9][0-9]{0,19}):(?:(-):(-)|(0|[1-9][0-9]{0,19}):(0|[1-9][0-9]{0,9})):([A-Za-z0-9_-]{0,512})$/;

export function encodeCursor(position: CursorPosition): string {
  const at = position.event === undefined
    ? "-:-"
    : `${position.event.transactionIndex}:${position.event.eventIndex}`;
  const token = position.token.toBase64({ alphabet: "base64url", omitPadding: true });
  return `v1:${position.checkpoint}:${at}:${token}`;
}

/** `undefined` when the text is no cursor of this format. */
export function decodeCursor(text: string): CursorPosition | undefined {
  const match = PATTERN.exec(text);
  if (match === null) return undefined;
  const [, checkpoint = "", whole, , transactionIndex = "", eventIndex = "", token = ""] = match;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(token, { alphabet: "base64url" });
  } catch {
    return undefined;
  }
  return {
    checkpoint: BigInt(checkpoint),
    event: whole === "-"
      ? undefined
      : { transactionIndex: BigInt(transactionIndex), eventIndex: Number(eventIndex) },
    token: bytes,
  };
}

/** Below 0, 0 or above 0, as `a` stands before, at or after `b` in the ledger. */
export function comparePositions(
  a: Pick<CursorPosition, "checkpoint" | "event">,
  b: Pick<CursorPosition, "checkpoint" | "event">,
): number {
  if (a.checkpoint !== b.checkpoint) return a.checkpoint < b.checkpoint ? -1 : 1;
  if (a.event === undefined || b.event === undefined) {
    return (a.event === undefined ? 1 : 0) - (b.event === undefined ? 1 : 0);
  }
  if (a.event.transactionIndex !== b.event.transactionIndex) {
    return a.event.transactionIndex < b.event.transactionIndex ? -1 : 1;
  }
  return a.event.eventIndex - b.event.eventIndex;
}
