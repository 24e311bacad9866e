/** The project's etcd server in this process, over a store on a memory log, for tests. */
import { getLogger } from "@logtape/logtape";
import { createEtcdServer, type EtcdServer, type EtcdServerOptions } from "../../api/etcd/mod.ts";
import type { DurableLog, Store } from "../../store/mod.ts";
import { openTestStore } from "../fakes/test_store.ts";
import { EtcdClient } from "./client.ts";

export interface OwnEtcd extends AsyncDisposable {
  readonly store: Store;
  readonly server: EtcdServer;
  readonly directory: string;
  /** The unix socket. */
  readonly path: string;
  /** What the server's lease clock says; tests move it. */
  now: number;
  connect(): Promise<EtcdClient>;
}

export interface OwnEtcdOptions extends Partial<EtcdServerOptions> {
  /** The medium; a memory log by default. */
  readonly durableLog?: DurableLog;
}

export async function startOwnEtcd(options: OwnEtcdOptions = {}): Promise<OwnEtcd> {
  const { durableLog, ...overrides } = options;
  const directory = await Deno.makeTempDir({ prefix: "etcd-own-" });
  const path = `${directory}/etcd.sock`;
  const store = await openTestStore(durableLog === undefined ? {} : { log: durableLog });
  const time = { now: 1_000_000 };
  const server = await createEtcdServer({
    store,
    log: getLogger(["test", "etcd"]),
    clock: () => time.now,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    listeners: [{ kind: "unix", path }],
    memberName: "test",
    ...overrides,
  });
  return {
    store,
    server,
    directory,
    path,
    get now() {
      return time.now;
    },
    set now(value) {
      time.now = value;
    },
    connect: () => EtcdClient.connect({ path }),
    async [Symbol.asyncDispose]() {
      await server.close(500);
      await store[Symbol.asyncDispose]();
      await Deno.remove(directory, { recursive: true });
    },
  };
}
