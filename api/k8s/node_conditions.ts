/**
 * What a worker's state and last heartbeat come to in its Node: conditions in the words of kubelet
 * and of Kubernetes' node lifecycle controller, and the taints that follow from them. Pure.
 */
import { isRecord, kubernetesTime } from "./prepare.ts";

/** What a worker says of its machine; bytes and whole cores. */
export interface NodeCapacity {
  readonly cpu_cores: number;
  readonly memory_bytes: number;
  readonly disk_bytes: number;
  readonly pods?: number | undefined;
}

/** The last heartbeat, as far as a Node shows it. */
export interface NodeHeartbeat {
  readonly receivedAtMs: number;
  readonly memoryPercent: number;
  readonly diskPercent: number;
  readonly capacity: NodeCapacity | undefined;
}

/** What a Node says of its worker. */
export interface NodeFacts {
  readonly nodeId: string;
  readonly state: "ready" | "active" | "lost" | "refused";
  readonly owner: string;
  readonly stakeStatus: string;
  /** Why the state is `refused`, or `lost` though nobody was silent. */
  readonly reason: string | undefined;
  /** The appraisal of the worker's own TEE evidence, where one was demanded. */
  readonly evidence?: NodeEvidence | undefined;
  /** Undefined: none yet. */
  readonly heartbeat: NodeHeartbeat | undefined;
}

export interface NodeEvidence {
  readonly tee_type: string;
  /** Hex. */
  readonly measurement?: string | undefined;
  readonly policy_id: string;
  readonly appraised_at_ms: number;
}

export type Condition = Readonly<Record<string, unknown>>;
interface Wanted {
  readonly type: "Ready" | "MemoryPressure" | "DiskPressure";
  readonly status: "True" | "False" | "Unknown";
  readonly reason: string;
  readonly message: string;
}

/**
 * Pressure begins at the first figure and ends below the second, in percent in use: a figure that
 * trembles around one limit writes nothing.
 */
export const MEMORY_PRESSURE = { from: 95, below: 90 } as const;
export const DISK_PRESSURE = { from: 90, below: 85 } as const;

/** Whether there is pressure now, given whether there was. */
export function isUnderPressure(
  limits: { readonly from: number; readonly below: number },
  before: boolean,
  percent: number,
): boolean {
  return before ? percent >= limits.below : percent >= limits.from;
}

/** The conditions of the Node; those of other types stay as they are. */
export function conditionsOf(before: unknown, facts: NodeFacts, nowMs: number): Condition[] {
  const old = (Array.isArray(before) ? before : []).filter(isRecord);
  const wanted = wantedConditions(facts, (type) => statusOf(old, type) === "True");
  const own = new Set<unknown>(wanted.map(({ type }) => type));
  const heard = kubernetesTime(facts.heartbeat?.receivedAtMs ?? nowMs);
  return [
    ...old.filter(({ type }) => !own.has(type)),
    ...wanted.map((condition) => {
      const was = old.find(({ type }) => type === condition.type);
      return {
        ...condition,
        lastHeartbeatTime: heard,
        lastTransitionTime: was?.["status"] === condition.status
          ? was["lastTransitionTime"]
          : kubernetesTime(nowMs),
      };
    }),
  ];
}

function wantedConditions(facts: NodeFacts, was: (type: string) => boolean): Wanted[] {
  const { heartbeat } = facts;
  const ready = wantedReady(facts);
  if (heartbeat === undefined) return [ready];
  if (facts.state === "lost") {
    // As the controller: what was last said of the machine is not known any more.
    const { status, reason, message } = ready;
    return [
      { type: "MemoryPressure", status, reason, message },
      { type: "DiskPressure", status, reason, message },
      ready,
    ];
  }
  const { memoryPercent, diskPercent } = heartbeat;
  return [
    isUnderPressure(MEMORY_PRESSURE, was("MemoryPressure"), memoryPercent)
      ? pressure("MemoryPressure", "True", "KubeletHasInsufficientMemory", "memory is short")
      : pressure("MemoryPressure", "False", "KubeletHasSufficientMemory", "memory is sufficient"),
    isUnderPressure(DISK_PRESSURE, was("DiskPressure"), diskPercent)
      ? pressure("DiskPressure", "True", "KubeletHasDiskPressure", "disk space is short")
      : pressure("DiskPressure", "False", "KubeletHasNoDiskPressure", "disk space is sufficient"),
    ready,
  ];
}

function pressure(
  type: Wanted["type"],
  status: Wanted["status"],
  reason: string,
  message: string,
): Wanted {
  return { type, status, reason, message };
}

function wantedReady({ state, reason, heartbeat }: NodeFacts): Wanted {
  const type = "Ready";
  switch (state) {
    case "ready":
      return {
        type,
        status: "False",
        reason: "NoHeartbeatYet",
        message: "registered, not heard of yet",
      };
    case "active":
      return { type, status: "True", reason: "HeartbeatReceived", message: "heartbeats arrive" };
    case "refused":
      return {
        type,
        status: "False",
        reason: "AdmissionLost",
        message: reason ?? "the chain took the permission back",
      };
    case "lost":
      // The words of k8s.io/kubernetes/pkg/controller/nodelifecycle, which clients look for.
      if (reason !== undefined) {
        return { type, status: "Unknown", reason: "WorkerLeft", message: reason };
      }
      return heartbeat === undefined
        ? {
          type,
          status: "Unknown",
          reason: "NodeStatusNeverUpdated",
          message: "Kubelet never posted node status.",
        }
        : {
          type,
          status: "Unknown",
          reason: "NodeStatusUnknown",
          message: "Kubelet stopped posting node status.",
        };
  }
}

interface Taint {
  readonly key: string;
  readonly effect: "NoSchedule" | "NoExecute";
}

const NOT_READY = "node.kubernetes.io/not-ready";
const UNREACHABLE = "node.kubernetes.io/unreachable";
const MEMORY = "node.kubernetes.io/memory-pressure";
const DISK = "node.kubernetes.io/disk-pressure";
const OWN_TAINTS: readonly unknown[] = [NOT_READY, UNREACHABLE, MEMORY, DISK];

/** The taints that follow from the conditions, beside those that somebody else put there. */
export function taintsOf(
  before: unknown,
  conditions: readonly Condition[],
  nowMs: number,
): Readonly<Record<string, unknown>>[] {
  const old = (Array.isArray(before) ? before : []).filter(isRecord);
  const wanted: Taint[] = [];
  const ready = statusOf(conditions, "Ready");
  if (ready !== "True") {
    const key = ready === "Unknown" ? UNREACHABLE : NOT_READY;
    wanted.push({ key, effect: "NoSchedule" }, { key, effect: "NoExecute" });
  }
  if (statusOf(conditions, "MemoryPressure") === "True") {
    wanted.push({ key: MEMORY, effect: "NoSchedule" });
  }
  if (statusOf(conditions, "DiskPressure") === "True") {
    wanted.push({ key: DISK, effect: "NoSchedule" });
  }
  return [
    ...old.filter(({ key }) => !OWN_TAINTS.includes(key)),
    ...wanted.map((taint) =>
      old.find(({ key, effect }) => key === taint.key && effect === taint.effect) ??
        { ...taint, timeAdded: kubernetesTime(nowMs) }
    ),
  ];
}

/** Kubernetes' quantities of what the worker says it has; undefined: it does not say. */
export function capacityOf(
  capacity: NodeCapacity | undefined,
): Readonly<Record<string, string>> | undefined {
  if (capacity === undefined) return undefined;
  return {
    cpu: String(capacity.cpu_cores),
    memory: `${Math.floor(capacity.memory_bytes / 1024)}Ki`,
    "ephemeral-storage": `${Math.floor(capacity.disk_bytes / 1024)}Ki`,
    ...(capacity.pods === undefined ? {} : { pods: String(capacity.pods) }),
  };
}

function statusOf(conditions: readonly Condition[], type: string): unknown {
  return conditions.find((condition) => condition["type"] === type)?.["status"];
}
