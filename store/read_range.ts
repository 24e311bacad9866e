/** Answers a range read from memory, and from the log where values are not at hand. */
import type { Bytes } from "../backends/mod.ts";
import type { Index } from "./index.ts";
import { readRevision, selectSlots, toKeyValues } from "./range.ts";
import type { Reader } from "./reader.ts";
import type { KeyspaceName, RangeRequest, RangeResponse } from "./types.ts";

/**
 * @param check throws where the store does not answer any more
 * @throws {StoreError} `compacted`, `future_revision`, what `check` throws, or the disk lies
 */
export async function readRange(
  { index, reader, check }: {
    readonly index: Index;
    readonly reader: Reader;
    readonly check: () => void;
  },
  name: KeyspaceName,
  request: RangeRequest,
): Promise<RangeResponse> {
  const keyspace = index.keyspace(name);
  const keysOnly = request.keysOnly === true;
  for (;;) {
    check();
    const newest = keyspace.durableRevision;
    const revision = readRevision(keyspace, request.revision, newest);
    const { slots, more, count } = selectSlots(keyspace, request, revision);
    const [only] = slots;
    if (only !== undefined && count === 1 && !keysOnly) {
      // The common case, a get from memory, without what several values need.
      const value = index.valueAtHand(only);
      if (value !== undefined) {
        return { kvs: [index.keyValue(only, value)], more, count, revision: newest };
      }
    }
    const values = new Map<number, Bytes>();
    const missing: number[] = [];
    if (!keysOnly) {
      for (const slot of slots) {
        const value = index.valueAtHand(slot);
        if (value === undefined) missing.push(slot);
        else values.set(slot, value);
      }
    }
    if (missing.length === 0) {
      const kvs = toKeyValues(index, slots, keysOnly, (slot) => values.get(slot)!);
      return { kvs, more, count, revision: newest };
    }
    // The key-values are made now, as long as the slots are theirs.
    const bare = toKeyValues(index, slots, true, () => new Uint8Array(0));
    await Promise.all(missing.map(async (slot) => {
      const value = await reader.load(slot);
      if (value !== undefined) values.set(slot, value);
    }));
    if (slots.every((slot) => values.has(slot))) {
      const kvs = bare.map((kv, i) => ({ ...kv, value: values.get(slots[i]!)! }));
      return { kvs, more, count, revision: newest };
    }
  }
}
