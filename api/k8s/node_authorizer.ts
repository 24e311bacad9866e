/**
 * What a worker's session may do, after Kubernetes' Node authorizer: see and update its own Node and
 * Lease, see the pods that are bound to it, and say how they are doing. It creates nothing.
 */
import type { Store } from "../../store/mod.ts";
import { type AccessRequest, NODE_GROUP } from "./authorize.ts";
import { isRecord } from "./prepare.ts";
import { readObject } from "./read.ts";
import type { ResourceTable } from "./resources.ts";

const NODE_PREFIX = "system:node:";
const LEASE_NAMESPACE = "kube-node-lease";

/** Whether the request is about what belongs to the node that asks. */
export async function isAllowedToNode(
  store: Store,
  table: ResourceTable,
  request: AccessRequest,
): Promise<boolean> {
  const { user, verb, group, resource, namespace, name } = request;
  if (!user.groups.includes(NODE_GROUP) || !user.name.startsWith(NODE_PREFIX)) return false;
  const nodeId = user.name.slice(NODE_PREFIX.length);
  const reads = verb === "get" || verb === "watch" || verb === "list";
  const updates = verb === "update" || verb === "patch";
  switch (`${group}/${resource}`) {
    case "/nodes":
      // A list of one: fieldSelector metadata.name.
      return name === nodeId ? reads : reads && request.fieldSelector === `metadata.name=${nodeId}`;
    case "/nodes/status":
      return name === nodeId && (verb === "get" || updates);
    case "coordination.k8s.io/leases":
      return namespace === LEASE_NAMESPACE && name === nodeId &&
        (verb === "get" || updates);
    case "/pods":
      if (verb === "get") return await isBoundTo(store, table, namespace, name, nodeId);
      return reads && request.fieldSelector === `spec.nodeName=${nodeId}`;
    case "/pods/status":
      return (verb === "get" || updates) && await isBoundTo(store, table, namespace, name, nodeId);
  }
  return false;
}

async function isBoundTo(
  store: Store,
  table: ResourceTable,
  namespace: string,
  name: string,
  nodeId: string,
): Promise<boolean> {
  const resource = table.byPlural("", "v1", "pods");
  if (resource === undefined || name === "") return false;
  const pod = await readObject(store, resource, namespace, name);
  const spec = pod?.parse()["spec"];
  return isRecord(spec) && spec["nodeName"] === nodeId;
}
