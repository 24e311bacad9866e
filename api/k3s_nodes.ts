/**
 * Nodes of workers that were handed a K3s token and that the chain refuses since: marked with a taint
 * that lets nothing run there and that a kubelet cannot take off itself (NodeRestriction), and looked
 * at again, for a kubelet can make its Node anew. Who is admitted again loses the taint.
 */
import type { Logger } from "@logtape/logtape";
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import { type Store, StoreError } from "../store/mod.ts";
import type { Clock } from "./deps.ts";
import { prefixRange } from "./k8s/keys.ts";
import type { Workers } from "./workers.ts";

const PREFIX = "/k3s-nodes/";
/** Key of the taint; `NoExecute` evicts whatever does not tolerate it. */
export const REFUSED_TAINT = "nautilus-tee.io/refused";
const LOOK_INTERVAL_MS = 60_000;
/** After that the operator has seen to it, or has not. */
const FORGET_AFTER_MS = 30 * 24 * 3_600_000;
/** Clocks of two machines differ. */
const SKEW_MS = 60_000;
const AT_ONCE = 16;
const SERVERS = ["control-plane", "master", "etcd"].map((role) =>
  `node-role.kubernetes.io/${role}`
);

const Handed = v.strictObject({
  v: v.literal(1),
  node_id: v.string(),
  /** When it was handed its first token: a Node of its name that is older is somebody else's. */
  since_ms: v.number(),
  /** When the chain's refusal was first seen; null: it is in good standing. */
  refused_at_ms: v.nullable(v.number()),
});
type Handed = v.InferOutput<typeof Handed>;

const Taint = v.looseObject({ key: v.string(), effect: v.string() });
const Node = v.object({
  metadata: v.object({
    resourceVersion: v.string(),
    creationTimestamp: v.string(),
    labels: v.optional(v.record(v.string(), v.string()), {}),
  }),
  spec: v.optional(v.object({ taints: v.optional(v.array(Taint), []) }), {}),
});

export interface K3sNodes {
  /** The worker is about to be handed a token. Durable when it resolves. */
  handOut(nodeId: string): Promise<void>;
  /** Taints the Nodes of those whom the chain refuses; called by a timer. */
  expel(): Promise<void>;
}

export interface K3sNodesOptions {
  readonly store: Store;
  readonly workers: Pick<Workers, "liveAdmission" | "get">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Asks the cluster. */
  readonly ask: (
    method: string,
    path: string,
    body?: unknown,
    contentType?: string,
  ) => Promise<Response>;
}

/** Reads who was handed a token. */
export async function openK3sNodes(options: K3sNodesOptions): Promise<K3sNodes> {
  const { store, workers, clock, log, ask } = options;
  const handed = new Map<string, { record: Handed; nextAtMs: number; said: string }>();
  for (const { value } of (await store.range("system", prefixRange(PREFIX))).kvs) {
    const record = v.parse(Handed, JSON.parse(new TextDecoder().decode(value)));
    handed.set(record.node_id, { record, nextAtMs: 0, said: "" });
  }

  const write = async (record: Handed): Promise<void> => {
    const value = new TextEncoder().encode(JSON.stringify(record));
    const success = [{
      type: "put",
      keyspace: "system",
      key: keyOf(record.node_id),
      value,
    }] as const;
    await store.txn({ compare: [], success, failure: [] });
    const entry = handed.get(record.node_id);
    if (entry === undefined) handed.set(record.node_id, { record, nextAtMs: 0, said: "" });
    else entry.record = record;
  };
  const forget = async (nodeId: string): Promise<void> => {
    const success = [{ type: "delete", keyspace: "system", key: keyOf(nodeId) }] as const;
    await store.txn({ compare: [], success, failure: [] });
    handed.delete(nodeId);
  };

  /** @returns what an operator should know of it; empty: nothing */
  const mark = async (
    { node_id: nodeId, since_ms: since }: Handed,
    isRefused: boolean,
  ): Promise<string> => {
    const path = `/api/v1/nodes/${nodeId}`;
    const byHand = `kubectl taint node ${nodeId} ${REFUSED_TAINT}:NoExecute${isRefused ? "" : "-"}`;
    const found = await ask("GET", path);
    if (found.status !== 200) {
      await found.body?.cancel();
      if (found.status === 404) {
        return isRefused ? "there is no Node of its name: look whether it joined by another" : "";
      }
      if (found.status === 403) return `the credential may not look at Nodes; by hand: ${byHand}`;
      throw new Error(`the kube-apiserver answered ${found.status} to GET`);
    }
    const { metadata, spec } = v.parse(Node, await found.json());
    const isOurs = ({ key, effect }: v.InferOutput<typeof Taint>) =>
      key === REFUSED_TAINT && effect === "NoExecute";
    if (spec.taints.some(isOurs) === isRefused) return "";
    if (SERVERS.some((label) => label in metadata.labels)) {
      return "a server of the cluster has its name: not touched";
    }
    if (Date.parse(metadata.creationTimestamp) + SKEW_MS < since) {
      return "the Node of its name was there before it was handed a token: not touched";
    }
    const others = spec.taints.filter((one) => !isOurs(one));
    const ours = isRefused ? [{ key: REFUSED_TAINT, effect: "NoExecute" }] : [];
    const change = {
      // Somebody else may change the Node meanwhile: then it is looked at again.
      metadata: { resourceVersion: metadata.resourceVersion },
      spec: { taints: [...others, ...ours] },
    };
    const changed = await ask("PATCH", path, change, "application/merge-patch+json");
    await changed.body?.cancel();
    if (changed.status === 403) return `the credential may not change Nodes; by hand: ${byHand}`;
    if (changed.status !== 200) {
      throw new Error(`the kube-apiserver answered ${changed.status} to PATCH`);
    }
    return isRefused
      ? "its Node was tainted, NoExecute; what ran there may still run on a machine that disobeys"
      : "its Node lost the taint";
  };

  const look = async (nodeId: string): Promise<void> => {
    const entry = handed.get(nodeId);
    if (entry === undefined) return;
    const now = clock();
    const { record } = entry;
    const isLive = workers.liveAdmission(nodeId) !== undefined;
    if (isLive && record.refused_at_ms === null) return;
    const worker = workers.get(nodeId);
    const refusedAt = record.refused_at_ms ?? (worker?.state === "refused" ? now : null);
    if (refusedAt === null) {
      if (worker === undefined) await forget(nodeId);
      return;
    }
    if (!isLive && now - refusedAt > FORGET_AFTER_MS) return await forget(nodeId);
    if (record.refused_at_ms === null) await write({ ...record, refused_at_ms: refusedAt });
    entry.nextAtMs = now + LOOK_INTERVAL_MS;
    let said: string;
    try {
      said = await mark(record, !isLive);
      if (isLive) await write({ ...record, refused_at_ms: null });
    } catch (error) {
      if (error instanceof StoreError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      said = `its Node could not be changed, tried again: ${reason}`;
    }
    if (said !== "" && said !== entry.said) {
      log.warn("a worker that was handed a K3s token is {standing}: {said}", {
        standing: isLive ? "admitted again" : "refused by the chain",
        worker: nodeId,
        said,
      });
    }
    entry.said = said;
  };

  return {
    async handOut(nodeId) {
      if (handed.has(nodeId)) return;
      await write({ v: 1, node_id: nodeId, since_ms: clock(), refused_at_ms: null });
    },
    async expel() {
      const now = clock();
      const due = [...handed].filter(([, { nextAtMs }]) => now >= nextAtMs).map(([id]) => id);
      for (let i = 0; i < due.length; i += AT_ONCE) {
        await Promise.all(due.slice(i, i + AT_ONCE).map(look));
      }
    },
  };
}

function keyOf(nodeId: string): Bytes {
  return new TextEncoder().encode(PREFIX + nodeId);
}
