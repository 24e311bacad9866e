/**
 * The etcd front in this process: gRPC over a unix socket, the store on a memory log. What the disk
 * adds, and how etcd itself does under the same load, is tests/etcd/side_by_side.ts.
 */
import { type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import type { EtcdClient } from "../../tests/etcd/client.ts";
import { type OwnEtcd, startOwnEtcd } from "../../tests/etcd/own.ts";
import {
  KeyValue,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from "./messages.ts";

const KEY = new TextEncoder().encode("bench/key-000001");
const KV = "/etcdserverpb.KV/";
const GROUP = "etcd";

function overSocket(
  name: string,
  inFlight: number,
  call: (client: EtcdClient) => Promise<unknown>,
): BenchSpec {
  return {
    name,
    group: GROUP,
    inFlight,
    async setup() {
      const own = await startOwnEtcd();
      const client = await own.connect();
      await put(client, 256);
      return {
        run: async () => void await call(client),
        close: () => end(own, client),
      };
    },
  };
}

async function end(own: OwnEtcd, client: EtcdClient): Promise<void> {
  await client.close();
  await own[Symbol.asyncDispose]();
}

function put(client: EtcdClient, bytes: number): Promise<unknown> {
  return client.call(KV + "Put", PutRequest, PutResponse, {
    key: KEY,
    value: new Uint8Array(bytes),
  });
}

function range(client: EtcdClient): Promise<unknown> {
  return client.call(KV + "Range", RangeRequest, RangeResponse, { key: KEY });
}

function fanOut(watches: number): BenchSpec {
  return {
    name: `put seen by ${watches} watches`,
    group: GROUP,
    async setup() {
      const own = await startOwnEtcd();
      const client = await own.connect();
      const stream = client.stream("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse);
      for (let i = 0; i < watches; i++) {
        stream.send(WatchRequest.of({ createRequest: WatchCreateRequest.of({ key: KEY }) }));
      }
      for (let i = 0; i < watches; i++) await stream.next();
      return {
        async run() {
          const answer = put(client, 256);
          for (let i = 0; i < watches; i++) await stream.next();
          await answer;
        },
        close: () => end(own, client),
      };
    },
  };
}

function codec(): BenchSpec {
  const kv = KeyValue.of({
    key: KEY,
    value: new Uint8Array(1024),
    createRevision: 100_000,
    modRevision: 200_000,
    version: 7,
  });
  const encoded = KeyValue.encode(kv);
  return {
    name: "protobuf: encode and decode a key-value of 1 KiB",
    group: GROUP,
    opsPerRun: 100,
    setup: () =>
      Promise.resolve({
        run() {
          for (let i = 0; i < 100; i++) {
            KeyValue.encode(kv);
            KeyValue.decode(encoded);
          }
        },
      }),
  };
}

export const benches: readonly BenchSpec[] = [
  codec(),
  overSocket("put 256 B, 1 in flight", 1, (client) => put(client, 256)),
  overSocket("put 256 B, 64 in flight", 64, (client) => put(client, 256)),
  overSocket("range one key, 1 in flight", 1, range),
  overSocket("range one key, 64 in flight", 64, range),
  fanOut(1),
  fanOut(100),
  fanOut(1000),
];

registerWithDeno(benches, import.meta);
