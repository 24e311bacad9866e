/** Puts the etcd server together: services over one store, listeners, and what runs by the clock. */
import type { Logger } from "@logtape/logtape";
import type { Bytes } from "../../backends/mod.ts";
import { Lessor, type Store } from "../../store/mod.ts";
import { AlarmStore } from "./alarms.ts";
import { type AutoCompaction, AutoCompactor } from "./auto_compaction.ts";
import {
  DEFAULT_ETCD_LIMITS,
  type EtcdContext,
  type EtcdLimits,
  identityOf,
  REQUEST_OVERHEAD_BYTES,
} from "./context.ts";
import { etcdError, toGrpcError } from "./errors.ts";
import { Gateway } from "./gateway.ts";
import { GrpcServer } from "./grpc/server.ts";
import type { ConnectionLimits } from "./http2/limits.ts";
import { kvMethods } from "./kv.ts";
import { leaseMethods } from "./lease_service.ts";
import { type BoundAddress, Listeners, type ListenSpec, type TlsFiles } from "./listener.ts";
import { maintenanceMethods, type StorageFacts } from "./maintenance.ts";
import { SpaceQuota } from "./quota.ts";
import { watchMethod } from "./watch.ts";
import { WatchHub } from "./watch_hub.ts";

export interface EtcdServerOptions {
  readonly store: Store;
  readonly log: Logger;
  /** Milliseconds; only differences matter (lease times, compaction). */
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
  readonly listeners: readonly ListenSpec[];
  /** The medium under the store; the store itself knows it unless a test says otherwise. */
  readonly storage?: StorageFacts;
  /** Shown by MemberList. */
  readonly memberName: string;
  readonly limits?: Partial<EtcdLimits>;
  readonly http2?: Partial<ConnectionLimits>;
  readonly autoCompaction?: AutoCompaction;
  readonly maxConnections?: number;
}

export interface EtcdServer extends AsyncDisposable {
  /** Where it listens, in the order of the options. */
  readonly addresses: readonly BoundAddress[];
  readonly lessor: Lessor;
  stats(): EtcdServerStats;
  /** New TLS connections get these; open ones keep what they have. */
  renewTls(files: TlsFiles): void;
  /**
   * Ends streams with UNAVAILABLE, lets calls finish for at most `graceMs`, writes down what
   * leases have left. The store stays open.
   */
  close(graceMs?: number): Promise<void>;
}

export interface EtcdServerStats {
  readonly connections: number;
  readonly calls: number;
  /** Watches that follow the present. */
  readonly watches: number;
  readonly leases: number;
}

/** How often leases and compaction are looked at, as etcd's lessor. */
const TICK_MS = 500;
const DEFAULT_GRACE_MS = 5_000;
const DEFAULT_MAX_CONNECTIONS = 4_096;
/** Half-received requests of all clients together. */
const MAX_HELD_BYTES = 64 * 1024 * 1024;

/** @throws {ListenError}, {StoreError} */
export async function createEtcdServer(options: EtcdServerOptions): Promise<EtcdServer> {
  const { store, log, clock, random, storage = store } = options;
  const limits = { ...DEFAULT_ETCD_LIMITS, ...options.limits };
  const context: EtcdContext = { store, log, identity: identityOf(store), limits };
  const lessor = await Lessor.open({ store, clock, random });
  const alarms = await AlarmStore.open(store);
  const hub = new WatchHub(store);
  const quota = new SpaceQuota({
    quotaBytes: limits.quotaBytes,
    usedBytes: async () => (await storage.size()).bytesInUse,
    alarms,
  });
  const addresses: BoundAddress[] = [];
  const methods = [
    ...kvMethods(context, quota),
    watchMethod(context, hub),
    ...leaseMethods(context, lessor, quota),
    ...maintenanceMethods({
      context,
      alarms,
      storage,
      memberName: options.memberName,
      clientUrls: () => addresses.map(clientUrl),
    }),
  ];
  const grpc = new GrpcServer({
    methods,
    maxMessageBytes: limits.maxRequestBytes + REQUEST_OVERHEAD_BYTES,
    maxHeldBytes: MAX_HELD_BYTES,
    toGrpcError(error) {
      const grpcError = toGrpcError(error);
      if (grpcError.message === "etcdserver: internal error") {
        log.error("etcd request failed by a bug: {error}", { error });
      }
      return grpcError;
    },
  });
  const gateway = new Gateway({
    methods,
    // Base64 is a third longer.
    maxBodyBytes: limits.maxRequestBytes * 2,
    healthy: () => store.failure === undefined,
  });
  const listeners = new Listeners({
    grpc,
    gateway,
    maxConnections: options.maxConnections ?? DEFAULT_MAX_CONNECTIONS,
    ...(options.http2 === undefined ? {} : { http2: options.http2 }),
    onProtocolError: (error) =>
      log.debug("etcd client sent away: {error}", { error: error.message }),
  });
  const compactor = new AutoCompactor(store, clock, options.autoCompaction ?? { mode: "off" });
  const ticker = startTicker(async () => {
    await lessor.tick();
    await compactor.tick();
  }, (error) => {
    // The store says on every call, and in its health, that it stopped.
    log.error("etcd leases are no longer looked after: {error}", { error });
  });
  let closing: Promise<void> | undefined;
  const close = async (graceMs = DEFAULT_GRACE_MS) => {
    await ticker.stop();
    grpc.endCalls(etcdError("stopped"), "streaming");
    gateway.close();
    await listeners.close(graceMs);
    grpc.endCalls(etcdError("stopped"), "all");
    hub.close();
    if (store.failure === undefined) await lessor.close();
  };
  try {
    for (const spec of options.listeners) addresses.push(await listeners.listen(spec));
  } catch (error) {
    await close(0);
    throw error;
  }
  const closeOnce = (graceMs?: number) => closing ??= close(graceMs);
  return {
    addresses,
    lessor,
    renewTls: (files) => listeners.renewTls(files),
    stats: () => ({
      connections: listeners.connectionCount,
      calls: grpc.openCalls,
      watches: hub.size,
      leases: lessor.leases().length,
    }),
    close: closeOnce,
    [Symbol.asyncDispose]: () => closeOnce(),
  };
}

function clientUrl(address: BoundAddress): string {
  if (address.kind === "unix") return `unix://${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `https://${host}:${address.port}`;
}

function startTicker(
  work: () => Promise<void>,
  onError: (error: unknown) => void,
): { stop(): Promise<void> } {
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= work().catch((error: unknown) => {
      clearInterval(timer);
      onError(error);
    }).finally(() => running = undefined);
  }, TICK_MS);
  return {
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
