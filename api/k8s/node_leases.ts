/** A worker's Lease in kube-node-lease, as kubelet keeps one: who, for how long, since when. */
import type { KubernetesObject } from "./objects.ts";
import { isRecord, prepareCreate, type Sources } from "./prepare.ts";
import type { ResourceDefinition } from "./resources.ts";

export const NODE_LEASE_NAMESPACE = "kube-node-lease";

/** meta/v1 MicroTime. */
export function microTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString().replace(/Z$/, "000Z");
}

export interface LeaseRenewal {
  readonly nodeId: string;
  /** When the worker was last heard of. */
  readonly heardAtMs: number;
  readonly durationSeconds: number;
}

/** A new Lease; it goes with its Node. @param nodeUid undefined: there is no Node to go with */
export function newLease(
  resource: ResourceDefinition,
  renewal: LeaseRenewal,
  nodeUid: string | undefined,
  sources: Sources,
): KubernetesObject {
  const { nodeId } = renewal;
  const submitted = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: nodeUid === undefined ? {} : {
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name: nodeId, uid: nodeUid }],
    },
    spec: {},
  };
  const lease = prepareCreate(submitted, resource, NODE_LEASE_NAMESPACE, nodeId, sources);
  return renewedLease(lease, renewal);
}

/** What others wrote into it stays; a renewal that is newer, too. */
export function renewedLease(
  lease: KubernetesObject,
  { nodeId, heardAtMs, durationSeconds }: LeaseRenewal,
): KubernetesObject {
  const spec = isRecord(lease["spec"]) ? lease["spec"] : {};
  const renewTime = microTime(heardAtMs);
  const before = spec["renewTime"];
  return {
    ...lease,
    spec: {
      ...spec,
      holderIdentity: nodeId,
      leaseDurationSeconds: durationSeconds,
      renewTime: typeof before === "string" && before > renewTime ? before : renewTime,
    },
  };
}
