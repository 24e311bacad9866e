/** Events of the gateway package: BCS layouts, and bytes to values. */
import { GATEWAY_MODULE, gatewayType } from "./address.ts";
import { WORKER_STATUSES, type WorkerStatus } from "./bcs.ts";
import {
  Address,
  BcsDecodeError,
  Bool,
  decodeStrict,
  type StrictType,
  struct,
  Text,
  U64,
  U8,
} from "./bcs_strict.ts";
import type { LedgerEvent } from "./ledger.ts";

/** Field names as K3s-DaaS uses them; `seal_token` is the token's public object id, never a secret. */
export interface K8sAPIRequestScheduledFields {
  readonly request_id: string;
  readonly method: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly payload: string;
  readonly seal_token: string;
  readonly requester: string;
  /** 1 to 10. */
  readonly priority: number;
  readonly assigned_worker: string;
  /** Milliseconds since the epoch. */
  readonly timestamp: bigint;
}

export interface K8sAPIRequestFields {
  readonly method: string;
  readonly path: string;
  readonly namespace: string;
  readonly resource_type: string;
  readonly payload: string;
  readonly sender: string;
  readonly timestamp: bigint;
}

export interface K8sAPIResultFields {
  readonly request_id: string;
  readonly assigned_worker: string;
  readonly success: boolean;
  readonly output: string;
  readonly error: string;
  readonly execution_time_ms: bigint;
  readonly timestamp: bigint;
}

export interface WorkerRegisteredFields {
  readonly node_id: string;
  readonly owner: string;
  readonly stake_amount: bigint;
  readonly seal_token: string;
  readonly timestamp: bigint;
}

export interface WorkerStatusChangedFields {
  readonly node_id: string;
  readonly old_status: number;
  readonly new_status: number;
  readonly timestamp: bigint;
}

export interface SealTokenRevokedFields {
  readonly node_id: string;
  readonly seal_token: string;
  readonly timestamp: bigint;
}

export const K8sAPIRequestScheduledEvent: StrictType<K8sAPIRequestScheduledFields> = struct(
  "K8sAPIRequestScheduledEvent",
  {
    request_id: Text,
    method: Text,
    resource: Text,
    namespace: Text,
    name: Text,
    payload: Text,
    seal_token: Address,
    requester: Address,
    priority: U8,
    assigned_worker: Text,
    timestamp: U64,
  },
);

export const K8sAPIRequest: StrictType<K8sAPIRequestFields> = struct(
  "K8sAPIRequest",
  {
    method: Text,
    path: Text,
    namespace: Text,
    resource_type: Text,
    payload: Text,
    sender: Address,
    timestamp: U64,
  },
);

export const K8sAPIResultEvent: StrictType<K8sAPIResultFields> = struct(
  "K8sAPIResultEvent",
  {
    request_id: Text,
    assigned_worker: Text,
    success: Bool,
    output: Text,
    error: Text,
    execution_time_ms: U64,
    timestamp: U64,
  },
);

export const WorkerRegisteredEvent: StrictType<WorkerRegisteredFields> = struct(
  "WorkerRegisteredEvent",
  {
    node_id: Text,
    owner: Address,
    stake_amount: U64,
    seal_token: Address,
    timestamp: U64,
  },
);

export const WorkerStatusChangedEvent: StrictType<WorkerStatusChangedFields> = struct(
  "WorkerStatusChangedEvent",
  {
    node_id: Text,
    old_status: U8,
    new_status: U8,
    timestamp: U64,
  },
);

export const SealTokenRevokedEvent: StrictType<SealTokenRevokedFields> = struct(
  "SealTokenRevokedEvent",
  {
    node_id: Text,
    seal_token: Address,
    timestamp: U64,
  },
);

/** A request to the Kubernetes API that came over the chain, in either of its two shapes. */
export interface K8sRequestFromChain {
  /** As written on chain: a verb or an HTTP method, not yet checked. */
  readonly method: string;
  readonly namespace: string;
  /** Kind, plural or `resource_type`, as written on chain. */
  readonly resource: string;
  /** Empty where the shape has none. */
  readonly name: string;
  /** Only in the original's K8sAPIRequest. */
  readonly path: string | undefined;
  readonly payload: string;
  /** Who signed the transaction; equal to the event's own field. 0x + 64 hex. */
  readonly requester: string;
  /** `undefined` in the original's K8sAPIRequest, which has none. */
  readonly requestId: string | undefined;
  readonly priority: number | undefined;
  readonly assignedWorker: string | undefined;
  /** Object id, 0x + 64 hex. */
  readonly sealTokenId: string | undefined;
  readonly timestampMs: bigint;
}

export type ChainEvent =
  | { readonly kind: "k8s_request"; readonly request: K8sRequestFromChain }
  | { readonly kind: "k8s_result"; readonly result: K8sAPIResultFields }
  | { readonly kind: "worker_registered"; readonly worker: WorkerRegisteredFields }
  | {
    readonly kind: "worker_status_changed";
    readonly nodeId: string;
    readonly oldStatus: WorkerStatus;
    readonly newStatus: WorkerStatus;
    readonly timestampMs: bigint;
  }
  | {
    readonly kind: "seal_token_revoked";
    readonly nodeId: string;
    /** Object id, 0x + 64 hex. */
    readonly tokenId: string;
    readonly timestampMs: bigint;
  }
  /** Well formed, of a type this version does not know. */
  | { readonly kind: "unknown"; readonly type: string }
  /** Bytes or fields that cannot be right. Recorded and passed over, so that it stops nobody. */
  | { readonly kind: "undecodable"; readonly type: string; readonly reason: string };

/**
 * Decodes one event of the gateway package. Never throws: what cannot be decoded is a value, so
 * that one poisoned event cannot stop the chain.
 *
 * @param packageId type origin of the package, 0x + 64 hex
 */
export function decodeChainEvent(packageId: string, event: LedgerEvent): ChainEvent {
  const prefix = gatewayType(packageId, "");
  const name = event.type.startsWith(prefix) ? event.type.slice(prefix.length) : undefined;
  if (name === undefined) {
    return undecodable(event, `not a type of ${packageId}::${GATEWAY_MODULE}`);
  }
  try {
    return decodeNamed(name, event);
  } catch (error) {
    if (error instanceof BcsDecodeError) return undecodable(event, error.message);
    throw error;
  }
}

function decodeNamed(name: string, event: LedgerEvent): ChainEvent {
  switch (name) {
    case "K8sAPIRequestScheduledEvent": {
      const f = decodeStrict(K8sAPIRequestScheduledEvent, event.contents);
      if (f.requester !== event.sender) return foreignRequester(event, f.requester);
      if (f.priority < 1 || f.priority > 10) {
        return undecodable(event, `priority: expected 1 to 10, got ${f.priority}`);
      }
      if (f.request_id === "") return undecodable(event, "request_id: empty");
      return {
        kind: "k8s_request",
        request: {
          method: f.method,
          namespace: f.namespace,
          resource: f.resource,
          name: f.name,
          path: undefined,
          payload: f.payload,
          requester: f.requester,
          requestId: f.request_id,
          priority: f.priority,
          assignedWorker: f.assigned_worker,
          sealTokenId: f.seal_token,
          timestampMs: f.timestamp,
        },
      };
    }
    case "K8sAPIRequest": {
      const f = decodeStrict(K8sAPIRequest, event.contents);
      if (f.sender !== event.sender) return foreignRequester(event, f.sender);
      return {
        kind: "k8s_request",
        request: {
          method: f.method,
          namespace: f.namespace,
          resource: f.resource_type,
          name: "",
          path: f.path,
          payload: f.payload,
          requester: f.sender,
          requestId: undefined,
          priority: undefined,
          assignedWorker: undefined,
          sealTokenId: undefined,
          timestampMs: f.timestamp,
        },
      };
    }
    case "K8sAPIResultEvent":
      return { kind: "k8s_result", result: decodeStrict(K8sAPIResultEvent, event.contents) };
    case "WorkerRegisteredEvent":
      return {
        kind: "worker_registered",
        worker: decodeStrict(WorkerRegisteredEvent, event.contents),
      };
    case "WorkerStatusChangedEvent": {
      const f = decodeStrict(WorkerStatusChangedEvent, event.contents);
      const oldStatus = WORKER_STATUSES[f.old_status];
      const newStatus = WORKER_STATUSES[f.new_status];
      if (oldStatus === undefined || newStatus === undefined) {
        return undecodable(event, `status: expected 0 to 4, got ${f.old_status}, ${f.new_status}`);
      }
      return {
        kind: "worker_status_changed",
        nodeId: f.node_id,
        oldStatus,
        newStatus,
        timestampMs: f.timestamp,
      };
    }
    case "SealTokenRevokedEvent": {
      const f = decodeStrict(SealTokenRevokedEvent, event.contents);
      return {
        kind: "seal_token_revoked",
        nodeId: f.node_id,
        tokenId: f.seal_token,
        timestampMs: f.timestamp,
      };
    }
    default:
      return { kind: "unknown", type: event.type };
  }
}

function undecodable(event: LedgerEvent, reason: string): ChainEvent {
  return { kind: "undecodable", type: event.type, reason };
}

/** A contract that speaks for somebody who did not sign is not believed. */
function foreignRequester(event: LedgerEvent, claimed: string): ChainEvent {
  return undecodable(event, `requester ${claimed} did not sign: the sender is ${event.sender}`);
}
