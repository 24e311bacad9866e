/**
 * Workers as Kubernetes sees them: a Node per worker whose Ready condition follows the worker's
 * state. Written with the change of state, so heartbeats alone move no revision.
 */
import type { Compare, Operation, Store } from "../../store/mod.ts";
import { encodeKey, objectKey } from "./keys.ts";
import { encodeStored, type KubernetesObject } from "./objects.ts";
import { unchanged } from "./plan.ts";
import { equalJson, isRecord, kubernetesTime, prepareCreate, type Sources } from "./prepare.ts";
import { readObject } from "./read.ts";
import type { ResourceTable } from "./resources.ts";

/** What a Node says of its worker. */
export interface NodeFacts {
  readonly nodeId: string;
  readonly state: "ready" | "active" | "lost" | "refused";
  readonly owner: string;
  readonly stakeStatus: string;
  readonly reason: string | undefined;
}

/** Puts the Node of a worker into the transaction that changes the worker. */
export interface NodeObjects {
  plan(facts: NodeFacts): Promise<{
    readonly compare: readonly Compare[];
    readonly operations: readonly Operation[];
  }>;
}

const READY: Readonly<
  Record<NodeFacts["state"], { status: string; reason: string; message: string }>
> = {
  ready: { status: "False", reason: "NoHeartbeatYet", message: "registered, not heard of yet" },
  active: { status: "True", reason: "HeartbeatReceived", message: "heartbeats arrive" },
  lost: { status: "Unknown", reason: "HeartbeatMissed", message: "heartbeats stopped" },
  refused: {
    status: "False",
    reason: "AdmissionLost",
    message: "the chain took the permission back",
  },
};

/** Labels and annotations that are the master's to set. */
const OWNER_ANNOTATION = "nautilus-tee.io/owner";
const STAKE_ANNOTATION = "nautilus-tee.io/stake-status";

export function createNodeObjects(
  options: { readonly store: Store; readonly table: ResourceTable } & Sources,
): NodeObjects {
  const { store, table } = options;
  const resource = table.byPlural("", "v1", "nodes");
  if (resource === undefined) throw new TypeError("the resource table has no nodes");
  return {
    async plan(facts) {
      const key = objectKey(resource, "", facts.nodeId);
      const current = await readObject(store, resource, "", facts.nodeId);
      const before = current?.parse();
      if (before !== undefined) delete before.metadata.resourceVersion;
      const base = before ?? prepareCreate(
        {
          apiVersion: "v1",
          kind: "Node",
          metadata: { labels: { "kubernetes.io/hostname": facts.nodeId.slice(0, 63) } },
          spec: {},
        },
        resource,
        "",
        facts.nodeId,
        options,
      );
      const next: KubernetesObject = {
        ...base,
        metadata: {
          ...base.metadata,
          annotations: {
            ...base.metadata.annotations,
            [OWNER_ANNOTATION]: facts.owner,
            [STAKE_ANNOTATION]: facts.stakeStatus,
          },
        },
        status: withReady(base["status"], facts, kubernetesTime(options.clock())),
      };
      if (before !== undefined && equalJson(before, next)) return { compare: [], operations: [] };
      return {
        compare: [unchanged(key, current)],
        operations: [{
          type: "put",
          keyspace: "k8s",
          key: encodeKey(key),
          value: encodeStored(next, resource),
        }],
      };
    },
  };
}

function withReady(status: unknown, facts: NodeFacts, now: string): Record<string, unknown> {
  const old = isRecord(status) ? status : {};
  const conditions = Array.isArray(old["conditions"]) ? old["conditions"] : [];
  const others = conditions.filter((condition) => !isReady(condition));
  const before = conditions.find(isReady);
  const ready = READY[facts.state];
  const message = facts.reason ?? ready.message;
  const same = isRecord(before) && before["status"] === ready.status &&
    before["reason"] === ready.reason && before["message"] === message;
  return {
    ...old,
    conditions: [
      ...others,
      same ? before : {
        type: "Ready",
        ...ready,
        message,
        lastHeartbeatTime: now,
        lastTransitionTime: isRecord(before) && before["status"] === ready.status
          ? before["lastTransitionTime"]
          : now,
      },
    ],
  };
}

function isReady(condition: unknown): boolean {
  return isRecord(condition) && condition["type"] === "Ready";
}
