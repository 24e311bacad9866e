/** A store for tests: real in every part, over a medium of the test's choice. */
import type { Bytes } from "../../backends/mod.ts";
import { nodeCryptoAead } from "../../store/aead/node_crypto.ts";
import { createMemoryLog, createMemoryMedium } from "../../store/logs/memory.ts";
import { openStore, type StoreOptions } from "../../store/open.ts";
import type { KeyspaceName, Operation, Store, TxnResponse } from "../../store/types.ts";
import { createTestSealer } from "./test_sealer.ts";

export function testStoreOptions(overrides: Partial<StoreOptions> = {}): StoreOptions {
  return {
    log: overrides.log ?? createMemoryLog(createMemoryMedium()),
    aead: nodeCryptoAead(),
    sealer: createTestSealer(),
    sealPolicy: "measurement",
    clock: () => 1_790_000_000_000,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    mode: "create-or-open",
    ...overrides,
  };
}

/** Over a fresh memory log unless told otherwise. */
export function openTestStore(overrides: Partial<StoreOptions> = {}): Promise<Store> {
  return openStore(testStoreOptions(overrides));
}

export function bytes(text: string): Bytes {
  return new TextEncoder().encode(text);
}

export function text(value: Bytes): string {
  return new TextDecoder().decode(value);
}

export function put(keyspace: KeyspaceName, key: string, value: string): Operation {
  return { type: "put", keyspace, key: bytes(key), value: bytes(value) };
}

export function commit(store: Store, ...success: Operation[]): Promise<TxnResponse> {
  return store.txn({ compare: [], success, failure: [] });
}

/** Every key in [key, end) as text, "key=value". */
export async function listing(
  store: Store,
  keyspace: KeyspaceName,
  revision = 0,
): Promise<string[]> {
  const { kvs } = await store.range(keyspace, {
    key: Uint8Array.of(0),
    rangeEnd: Uint8Array.of(0),
    revision,
  });
  return kvs.map((kv) => `${text(kv.key)}=${text(kv.value)}`);
}
