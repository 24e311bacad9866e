/**
 * The stream of frames that answers ListEvents, as one page of events: none twice, strictly
 * ascending, and a cursor that never stands behind where reading stood.
 */
import type { GrpcTypes } from "@mysten/sui/grpc";
import { comparePositions, type CursorPosition, encodeCursor } from "./cursor.ts";
import { decodeEvent, type PlacedEvent } from "./grpc_decode.ts";
import {
  type EventCursor,
  type EventPage,
  type LedgerEvent,
  LedgerProtocolError,
  LedgerUnavailable,
} from "./ledger.ts";

/** Where reading begins: after a cursor, or at a checkpoint without one. */
export type StartPosition = Omit<CursorPosition, "token"> & {
  readonly token: CursorPosition["token"] | undefined;
};

/**
 * Frames of one ListEvents to a page.
 *
 * @param start where reading begins; @param after the cursor that it was asked with, if any
 * @throws {LedgerProtocolError} @throws {LedgerUnavailable} when the stream ended before its end
 */
export function eventPage(
  frames: readonly GrpcTypes.ListEventsResponse[],
  start: StartPosition,
  after: EventCursor | undefined,
  node: { readonly endpoint: string; readonly queryEnd: typeof GrpcTypes.QueryEndReason },
): EventPage {
  const { ITEM_LIMIT, SCAN_LIMIT } = node.queryEnd;
  const events: LedgerEvent[] = [];
  let position = start;
  let previous: PlacedEvent | undefined;
  let end: GrpcTypes.QueryEndReason | undefined;
  for (const frame of frames) {
    if (end !== undefined) throw new LedgerProtocolError("ListEvents: frames after the end");
    end = frame.end === undefined ? undefined : frame.end.reason ?? 0;
    const token = frame.watermark?.cursor?.slice();
    if (token === undefined) {
      throw new LedgerProtocolError("ListEvents: watermark.cursor missing");
    }
    if (frame.event !== undefined) {
      const event = decodeEvent(frame.event);
      const here: CursorPosition = { checkpoint: event.checkpoint, event, token };
      const order = comparePositions(here, position);
      // Sent before, or twice in this answer: an event has one place in the ledger.
      if (order <= 0 && isRepeat(event, previous, start)) continue;
      if (order <= 0) {
        throw new LedgerProtocolError(
          `ListEvents: event ${event.transactionDigest}/${event.eventIndex} is out of order`,
        );
      }
      previous = event;
      position = here;
      const { transactionIndex: _, ...rest } = event;
      events.push({ ...rest, cursor: encodeCursor(here) });
      continue;
    }
    const covered = frame.watermark?.checkpoint;
    if (
      covered !== undefined &&
      comparePositions({ checkpoint: covered, event: undefined }, position) > 0
    ) {
      position = { checkpoint: covered, event: undefined, token };
    } else if (end === SCAN_LIMIT) {
      // Progress within a checkpoint: only the node can say how far.
      position = { ...position, token };
    }
  }
  if (end === undefined) {
    throw new LedgerUnavailable(`${node.endpoint}: ListEvents ended before its end`);
  }
  const { token } = position;
  return {
    events,
    hasMore: end === ITEM_LIMIT || end === SCAN_LIMIT,
    cursor: position === start || token === undefined
      ? after
      : encodeCursor({ ...position, token }),
    covered: coveredBy(position),
  };
}

/** Whether an event at or before where reading stands is one already seen, not a reordered one. */
function isRepeat(
  event: PlacedEvent,
  previous: PlacedEvent | undefined,
  start: Pick<CursorPosition, "checkpoint" | "event">,
): boolean {
  if (comparePositions({ checkpoint: event.checkpoint, event }, start) <= 0) return true;
  return previous !== undefined && previous.transactionDigest === event.transactionDigest &&
    previous.eventIndex === event.eventIndex;
}

function coveredBy(position: Pick<CursorPosition, "checkpoint" | "event">): bigint | undefined {
  if (position.event === undefined) return position.checkpoint;
  return position.checkpoint === 0n ? undefined : position.checkpoint - 1n;
}

/** The module whose events are wanted: package of its first publication, and its name. */
export interface ModuleFilter {
  readonly packageId: string;
  readonly module: string;
}

/** Events whose type the module defines: only it can have emitted them. */
export function moduleFilter(filter: ModuleFilter): GrpcTypes.EventFilter {
  return {
    terms: [{
      literals: [{
        negated: false,
        predicate: {
          oneofKind: "eventType",
          eventType: { eventType: `${filter.packageId}::${filter.module}` },
        },
      }],
    }],
  };
}
