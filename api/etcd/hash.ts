/** Hash and HashKV: a checksum of the keyspace at a revision, the same for the same content. */
import type { KeyValue as StoredKeyValue, Store } from "../../store/mod.ts";
import { KeyValue } from "./messages.ts";
import { Writer } from "./protobuf/wire.ts";

/** CRC-32C (Castagnoli), reflected. */
const POLYNOMIAL = 0x82f63b78;
/** Keys read at a time, so that a large store does not stop everything else. */
const PAGE = 1000;

/**
 * CRC-32C over the encoded key-values that live at `revision`, in key order. Its value is ours:
 * etcd's covers its own file format.
 * @throws {StoreError} `compacted`, `future_revision`
 */
export async function hashKeyspace(store: Store, revision: number): Promise<number> {
  const table = crcTable();
  const writer = new Writer();
  let crc = 0xffff_ffff;
  for await (const kv of liveKeys(store, revision)) {
    writer.reset();
    KeyValue.write({ ...kv }, writer);
    for (const byte of writer.finish()) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}

/** Every key that lives at a revision, page by page. */
export async function* liveKeys(store: Store, revision: number): AsyncIterable<StoredKeyValue> {
  let key: Uint8Array<ArrayBuffer> = new Uint8Array(1);
  for (;;) {
    const page = await store.range("etcd", {
      key,
      rangeEnd: new Uint8Array(1),
      revision,
      limit: PAGE,
    });
    yield* page.kvs;
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return;
    key = new Uint8Array(last.key.length + 1);
    key.set(last.key);
  }
}

function crcTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ POLYNOMIAL : c >>> 1;
    return c >>> 0;
  });
}
