/** Watch responses from events that are encoded already. */
import type { Bytes } from "../../backends/mod.ts";
import { type Identity, WatchResponse } from "./messages.ts";
import { WIRE, Writer } from "./protobuf/wire.ts";
import type { SharedEvent } from "./watch_hub.ts";

const FIELD = { watchId: 2, fragment: 7, events: 11 } as const;
/** Tag and length of an event, and what stands before the events. */
const EVENT_OVERHEAD_BYTES = 6;
const RESPONSE_OVERHEAD_BYTES = 64;

export class WatchEncoder {
  readonly #identity: Identity;
  readonly #writer = new Writer();

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  /** The varint of a watch id, made once per watch. */
  static encodeId(id: bigint): Bytes {
    const writer = new Writer(16);
    writer.bigVarint(id);
    return writer.finish();
  }

  events(
    encodedId: Uint8Array,
    revision: number,
    events: readonly Uint8Array[],
    fragment: boolean,
  ): Bytes {
    const writer = this.#writer;
    writer.reset();
    for (let i = events.length - 1; i >= 0; i--) {
      const event = events[i]!;
      writer.raw(event);
      writer.varint(event.length);
      writer.tag(FIELD.events, WIRE.bytes);
    }
    if (fragment) {
      writer.byte(1);
      writer.tag(FIELD.fragment, WIRE.varint);
    }
    if (encodedId.length !== 1 || encodedId[0] !== 0) {
      writer.raw(encodedId);
      writer.tag(FIELD.watchId, WIRE.varint);
    }
    WatchResponse.write(
      WatchResponse.of({ header: { identity: this.#identity, revision } }),
      writer,
    );
    return writer.finish();
  }
}

/** As etcd: every part stays below the limit unless a single event is larger. */
export function fragments(
  events: readonly SharedEvent[],
  prevKv: boolean,
  maxBytes: number,
): SharedEvent[][] {
  const groups: SharedEvent[][] = [[]];
  let size = RESPONSE_OVERHEAD_BYTES;
  for (const event of events) {
    const bytes = event.encoded(prevKv).length + EVENT_OVERHEAD_BYTES;
    let group = groups.at(-1)!;
    if (group.length > 0 && size + bytes >= maxBytes) {
      group = [];
      groups.push(group);
      size = RESPONSE_OVERHEAD_BYTES;
    }
    group.push(event);
    size += bytes;
  }
  return groups;
}
