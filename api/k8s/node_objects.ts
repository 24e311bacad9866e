/**
 * Workers as Kubernetes sees them: a Node whose conditions and taints follow the worker's state and
 * figures, and a Lease that says when it was last heard of. A change of state is written with the
 * Node; what only repeats itself is written together with others (api/worker_status.ts).
 */
import type { Compare, Operation, Store } from "../../store/mod.ts";
import { encodeKey, objectKey } from "./keys.ts";
import { capacityOf, conditionsOf, type NodeFacts, taintsOf } from "./node_conditions.ts";
import { newLease, NODE_LEASE_NAMESPACE, renewedLease } from "./node_leases.ts";
import { encodeStored, type KubernetesObject, type StoredObject } from "./objects.ts";
import { unchanged } from "./plan.ts";
import { equalJson, isRecord, kubernetesTime, prepareCreate, type Sources } from "./prepare.ts";
import { readObject } from "./read.ts";
import type { ResourceDefinition, ResourceTable } from "./resources.ts";

export type { NodeFacts } from "./node_conditions.ts";

/** Operations for a transaction, and what must still hold when it runs. */
export interface NodePlan {
  readonly compare: readonly Compare[];
  readonly operations: readonly Operation[];
}

export interface NodeObjects {
  /** Puts the Node of a worker into the transaction that changes the worker. */
  plan(facts: NodeFacts): Promise<NodePlan>;
  /** Renews the Lease; with the Node where its status is due, or the Lease is new. */
  planRenewal(facts: NodeFacts, leaseSeconds: number, status: boolean): Promise<NodePlan>;
  /** Takes Node and Lease away; a Node with finalizers is marked, as Kubernetes does. */
  planRemoval(nodeId: string): Promise<NodePlan>;
}

/** Labels and annotations that are the master's to set. */
const OWNER_ANNOTATION = "nautilus-tee.io/owner";
const STAKE_ANNOTATION = "nautilus-tee.io/stake-status";
/** JSON: tee_type, measurement, policy_id, appraised_at. */
const EVIDENCE_ANNOTATION = "nautilus-tee.io/worker-evidence";

const NOTHING: NodePlan = { compare: [], operations: [] };

export function createNodeObjects(
  options: { readonly store: Store; readonly table: ResourceTable } & Sources,
): NodeObjects {
  const { store, table } = options;
  const nodes = definition(table, "", "nodes");
  const leases = definition(table, "coordination.k8s.io", "leases");

  function put(
    resource: ResourceDefinition,
    key: string,
    current: StoredObject | undefined,
    object: KubernetesObject,
  ): NodePlan {
    return {
      compare: [unchanged(key, current)],
      operations: [{
        type: "put",
        keyspace: "k8s",
        key: encodeKey(key),
        value: encodeStored(object, resource),
      }],
    };
  }

  async function planNode(facts: NodeFacts): Promise<NodePlan & { readonly uid: string }> {
    const current = await readObject(store, nodes, "", facts.nodeId);
    const before = current?.parse();
    if (before !== undefined) delete before.metadata.resourceVersion;
    const base = before ?? prepareCreate(
      {
        apiVersion: "v1",
        kind: "Node",
        metadata: { labels: { "kubernetes.io/hostname": facts.nodeId.slice(0, 63) } },
        spec: {},
      },
      nodes,
      "",
      facts.nodeId,
      options,
    );
    const next = nodeOf(base, facts, options.clock());
    const { uid } = base.metadata;
    if (before !== undefined && equalJson(before, next)) return { ...NOTHING, uid };
    return { ...put(nodes, objectKey(nodes, "", facts.nodeId), current, next), uid };
  }

  return {
    plan: planNode,

    async planRenewal(facts, leaseSeconds, status) {
      const { nodeId, heartbeat } = facts;
      if (heartbeat === undefined) return NOTHING;
      const lease = await readObject(store, leases, NODE_LEASE_NAMESPACE, nodeId);
      const node = status || lease === undefined ? await planNode(facts) : undefined;
      const renewal = {
        nodeId,
        heardAtMs: heartbeat.receivedAtMs,
        durationSeconds: leaseSeconds,
      };
      const renewed = put(
        leases,
        objectKey(leases, NODE_LEASE_NAMESPACE, nodeId),
        lease,
        lease === undefined
          ? newLease(leases, renewal, node?.uid, options)
          : renewedLease(lease.parse(), renewal),
      );
      if (node === undefined) return renewed;
      return {
        compare: [...renewed.compare, ...node.compare],
        operations: [...renewed.operations, ...node.operations],
      };
    },

    async planRemoval(nodeId) {
      const key = objectKey(nodes, "", nodeId);
      const current = await readObject(store, nodes, "", nodeId);
      const node = current?.parse();
      const lease = encodeKey(objectKey(leases, NODE_LEASE_NAMESPACE, nodeId));
      const operations: Operation[] = [{ type: "delete", keyspace: "k8s", key: lease }];
      if (node === undefined || node.metadata.deletionTimestamp !== undefined) {
        return { compare: [unchanged(key, current)], operations };
      }
      if ((node.metadata.finalizers ?? []).length === 0) {
        operations.push({ type: "delete", keyspace: "k8s", key: encodeKey(key) });
        return { compare: [unchanged(key, current)], operations };
      }
      node.metadata.deletionTimestamp = kubernetesTime(options.clock());
      const marked = put(nodes, key, current, node);
      return { compare: marked.compare, operations: [...operations, ...marked.operations] };
    },
  };
}

function definition(table: ResourceTable, group: string, plural: string): ResourceDefinition {
  const resource = table.byPlural(group, "v1", plural);
  if (resource === undefined) throw new TypeError(`the resource table has no ${plural}`);
  return resource;
}

function evidenceText({ evidence }: NodeFacts): string | undefined {
  if (evidence === undefined) return undefined;
  const { tee_type, measurement, policy_id, appraised_at_ms } = evidence;
  const appraised_at = kubernetesTime(appraised_at_ms);
  return JSON.stringify({ tee_type, measurement, policy_id, appraised_at });
}

function nodeOf(base: KubernetesObject, facts: NodeFacts, nowMs: number): KubernetesObject {
  const { [EVIDENCE_ANNOTATION]: _, ...annotations } = base.metadata.annotations ?? {};
  const evidence = evidenceText(facts);
  const status = isRecord(base["status"]) ? base["status"] : {};
  const { taints: before, ...spec } = isRecord(base["spec"]) ? base["spec"] : {};
  const conditions = conditionsOf(status["conditions"], facts, nowMs);
  const taints = taintsOf(before, conditions, nowMs);
  const capacity = capacityOf(facts.heartbeat?.capacity);
  return {
    ...base,
    metadata: {
      ...base.metadata,
      annotations: {
        ...annotations,
        ...(evidence === undefined ? {} : { [EVIDENCE_ANNOTATION]: evidence }),
        [OWNER_ANNOTATION]: facts.owner,
        [STAKE_ANNOTATION]: facts.stakeStatus,
      },
    },
    spec: { ...spec, ...(taints.length === 0 ? {} : { taints }) },
    status: {
      ...status,
      ...(capacity === undefined ? {} : { capacity, allocatable: capacity }),
      conditions,
    },
  };
}
