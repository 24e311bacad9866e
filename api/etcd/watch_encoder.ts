/** Watch responses from events that are encoded already. */
import type { Bytes } from "../../backends/mod.ts";
import { type Identity, WatchResponse } from "./messages.ts";
import { WIRE, Writer } from "./protobuf/wire.ts";
import { PREFIX_BYTES } from "./grpc/framing.ts";
import { writeU32 } from "./http2/frames.ts";
import type { EventGroup, SharedEvent } from "./watch_hub.ts";

const FIELD = { watchId: 2, fragment: 7 } as const;
/** Tag and length of an event, and what stands before the events. */
const EVENT_OVERHEAD_BYTES = 6;
const RESPONSE_OVERHEAD_BYTES = 64;

/** Puts responses together from parts that many watches share. One per stream. */
export class WatchEncoder {
  readonly #identity: Identity;
  /** The header of the revision last sent. */
  #revision = -1;
  #header: Bytes = new Uint8Array(0);

  constructor(identity: Identity) {
    this.#identity = identity;
  }

  /** The `watch_id` field, made once per watch; 0 is left out. */
  static encodeId(id: bigint): Bytes {
    const writer = new Writer(16);
    if (id !== 0n) {
      writer.bigVarint(id);
      writer.tag(FIELD.watchId, WIRE.varint);
    }
    return writer.finish();
  }

  /** A gRPC message, its prefix included: header, watch id, whether fragments follow, events. */
  framed(encodedId: Bytes, group: EventGroup, prevKv: boolean, fragment: boolean): Bytes {
    const header = this.#headerOf(group.revision);
    const tail = group.tail(prevKv);
    const length = header.length + encodedId.length + (fragment ? 2 : 0) + tail.length;
    const out = new Uint8Array(PREFIX_BYTES + length);
    writeU32(out, 1, length);
    let at = PREFIX_BYTES;
    out.set(header, at);
    at += header.length;
    out.set(encodedId, at);
    at += encodedId.length;
    if (fragment) {
      out[at++] = FIELD.fragment << 3;
      out[at++] = 1;
    }
    out.set(tail, at);
    return out;
  }

  #headerOf(revision: number): Bytes {
    if (revision !== this.#revision) {
      this.#revision = revision;
      this.#header = WatchResponse.encode(
        WatchResponse.of({ header: { identity: this.#identity, revision } }),
      );
    }
    return this.#header;
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
