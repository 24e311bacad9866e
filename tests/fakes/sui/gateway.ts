/** The gateway package as it behaves on the stand-in chain: what its Move code would write and emit. */
import { deriveDynamicFieldID } from "@mysten/sui/utils";
import {
  addressBytes,
  fieldType,
  gatewayType,
  OBJECT_ID_TYPE,
  SUI_COIN_TYPE,
} from "../../../sui/address.ts";
import {
  Coin,
  MasterCap,
  RequestField,
  requestKeyBytes,
  SealToken,
  type SealTokenFields,
  WORKER_STATUSES,
  WorkerEntryField,
  type WorkerEntryFields,
  WorkerRegistry,
  type WorkerStatus,
} from "../../../sui/bcs.ts";
import {
  K8sAPIRequest,
  K8sAPIRequestScheduledEvent,
  K8sAPIResultEvent,
  SealTokenRevokedEvent,
  WorkerRegisteredEvent,
  WorkerStatusChangedEvent,
} from "../../../sui/chain_event.ts";
import type { Bytes, FakeChain } from "./chain.ts";

/** 1 SUI in MIST. */
export const MIST_PER_SUI = 1_000_000_000n;

export interface NewToken {
  readonly owner: string;
  readonly nodeId: string;
  /** Default 1 SUI. */
  readonly stakeMist?: bigint;
  readonly status?: WorkerStatus;
  readonly permissions?: readonly string[];
  /** 32 bytes; default zeros. */
  readonly nodeKeyHash?: Uint8Array;
  readonly issuedAtMs?: number;
  /** Default: 30 days from now. */
  readonly expiresAtMs?: number;
  /** 16 bytes; default: the gateway's. */
  readonly clusterId?: Uint8Array;
  /** false: a token without an entry in the registry. */
  readonly register?: boolean;
}

export interface ScheduledRequest {
  readonly requester: string;
  readonly method: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly payload: string;
  /** Default: "req-" and a number. */
  readonly requestId?: string;
  readonly sealTokenId?: string;
  readonly priority?: number;
  readonly assignedWorker?: string;
}

export interface FakeGatewayOptions {
  readonly chain: FakeChain;
  readonly clock: () => number;
  /** 0x + 64 hex. Default: a fixed one. */
  readonly packageId?: string;
  /** 16 bytes. Default: sixteen times 0x01. */
  readonly clusterId?: Uint8Array;
}

/** Publishes the package (registry included) at construction. */
export class FakeGateway {
  readonly chain: FakeChain;
  readonly packageId: string;
  readonly clusterId: Uint8Array;
  readonly registryId: string;
  readonly tableId: string;
  readonly #clock: () => number;
  #requests = 0;
  #entries = 0n;

  constructor(options: FakeGatewayOptions) {
    this.chain = options.chain;
    this.#clock = options.clock;
    this.packageId = options.packageId ?? "0x" + "c0".repeat(32);
    this.clusterId = options.clusterId ?? new Uint8Array(16).fill(1);
    const { result } = this.chain.execute("0x" + "0".repeat(64), (tx) => {
      const registryId = tx.newId();
      const tableId = tx.newId();
      tx.create({
        id: registryId,
        type: gatewayType(this.packageId, "WorkerRegistry"),
        owner: { kind: "shared", initialVersion: 0n },
        contents: registryContents(registryId, this.clusterId, tableId, 0n),
      });
      return { registryId, tableId };
    });
    this.registryId = result.registryId;
    this.tableId = result.tableId;
  }

  #registry(size: bigint): Bytes {
    return registryContents(this.registryId, this.clusterId, this.tableId, size);
  }

  /** Id of the registry's dynamic field for one token. */
  entryFieldId(tokenId: string): string {
    return deriveDynamicFieldID(this.tableId, OBJECT_ID_TYPE, addressBytes(tokenId));
  }

  /** As `stake_and_register_worker`: a Seal token for `owner` and its entry; one event. */
  createToken(token: NewToken): { tokenId: string; token: string; digest: string } {
    const nowMs = this.#clock();
    const stakeMist = token.stakeMist ?? MIST_PER_SUI;
    const { digest, result: tokenId } = this.chain.execute(token.owner, (tx) => {
      const id = tx.newId();
      tx.create({
        id,
        type: gatewayType(this.packageId, "SealToken"),
        owner: { kind: "address", address: token.owner },
        contents: SealToken.serialize({
          id,
          cluster_id: token.clusterId ?? this.clusterId,
          owner: token.owner,
          node_id: token.nodeId,
          node_key_hash: token.nodeKeyHash ?? new Uint8Array(32),
          permissions: token.permissions ?? ["register", "heartbeat"],
          issued_at_ms: BigInt(token.issuedAtMs ?? nowMs),
          expires_at_ms: BigInt(token.expiresAtMs ?? nowMs + 30 * 24 * 3600 * 1000),
        }).toBytes(),
      });
      if (token.register ?? true) {
        tx.mutate(this.registryId, { contents: this.#registry(++this.#entries) });
        const fieldId = this.entryFieldId(id);
        tx.create({
          id: fieldId,
          type: fieldType(OBJECT_ID_TYPE, gatewayType(this.packageId, "WorkerEntry")),
          owner: { kind: "object", id: this.tableId },
          contents: WorkerEntryField.serialize({
            id: fieldId,
            name: id,
            value: {
              owner: token.owner,
              node_id: token.nodeId,
              stake_amount: stakeMist,
              status: WORKER_STATUSES.indexOf(token.status ?? "active"),
              revoked: false,
              updated_at_ms: BigInt(nowMs),
            },
          }).toBytes(),
        });
        tx.emit(
          gatewayType(this.packageId, "WorkerRegisteredEvent"),
          WorkerRegisteredEvent.serialize({
            node_id: token.nodeId,
            owner: token.owner,
            stake_amount: stakeMist,
            seal_token: id,
            timestamp: BigInt(nowMs),
          }).toBytes(),
        );
      }
      return id;
    });
    return { tokenId, token: `seal_${tokenId}`, digest };
  }

  /** The entry as the next transaction will see it. */
  entry(tokenId: string): WorkerEntryFields | undefined {
    const object = this.chain.latest(this.entryFieldId(tokenId));
    return object === undefined ? undefined : WorkerEntryField.parse(object.contents).value;
  }

  /** Changes stake, status or revocation as the registry's operator; emits what the contract would. */
  setEntry(
    tokenId: string,
    change: { stakeMist?: bigint; status?: WorkerStatus; revoked?: boolean },
    sender: string = "0x" + "0".repeat(64),
  ): { digest: string } {
    const before = this.entry(tokenId);
    if (before === undefined) throw new Error(`token ${tokenId} has no entry`);
    const timestamp = BigInt(this.#clock());
    const after: WorkerEntryFields = {
      ...before,
      stake_amount: change.stakeMist ?? before.stake_amount,
      status: change.status === undefined ? before.status : WORKER_STATUSES.indexOf(change.status),
      revoked: change.revoked ?? before.revoked,
      updated_at_ms: timestamp,
    };
    const fieldId = this.entryFieldId(tokenId);
    return this.chain.execute(sender, (tx) => {
      tx.mutate(fieldId, {
        contents: WorkerEntryField.serialize({ id: fieldId, name: tokenId, value: after })
          .toBytes(),
      });
      if (after.status !== before.status) {
        tx.emit(
          gatewayType(this.packageId, "WorkerStatusChangedEvent"),
          WorkerStatusChangedEvent.serialize({
            node_id: after.node_id,
            old_status: before.status,
            new_status: after.status,
            timestamp,
          }).toBytes(),
        );
      }
      if (after.revoked && !before.revoked) {
        tx.emit(
          gatewayType(this.packageId, "SealTokenRevokedEvent"),
          SealTokenRevokedEvent.serialize({
            node_id: after.node_id,
            seal_token: tokenId,
            timestamp,
          }).toBytes(),
        );
      }
    });
  }

  /** Rewrites fields of the token object itself (only its owner could, on a real chain). */
  setToken(tokenId: string, change: Partial<SealTokenFields>): { digest: string } {
    const object = this.chain.latest(tokenId);
    if (object === undefined) throw new Error(`no token ${tokenId}`);
    const before = SealToken.parse(object.contents);
    return this.chain.execute(before.owner, (tx) =>
      tx.mutate(tokenId, {
        contents: SealToken.serialize({ ...before, ...change }).toBytes(),
      }));
  }

  /** Id of the registry's dynamic field for one request. */
  requestFieldId(requestId: string): string {
    return deriveDynamicFieldID(
      this.registryId,
      gatewayType(this.packageId, "RequestKey"),
      requestKeyBytes(requestId),
    );
  }

  /** A coin of so many MIST for gas. */
  fund(owner: string, mist: bigint): { coinId: string } {
    const { result } = this.chain.execute(owner, (tx) => {
      const id = tx.newId();
      const contents = Coin.serialize({ id, balance: mist }).toBytes();
      tx.create({ id, type: SUI_COIN_TYPE, owner: { kind: "address", address: owner }, contents });
      return id;
    });
    return { coinId: result };
  }

  /** As `issue_master_cap`, handed to a master's signer. */
  issueMasterCap(owner: string, registry: string = this.registryId): { capId: string } {
    const { result } = this.chain.execute(owner, (tx) => {
      const id = tx.newId();
      tx.create({
        id,
        type: gatewayType(this.packageId, "MasterCap"),
        owner: { kind: "address", address: owner },
        contents: MasterCap.serialize({ id, registry }).toBytes(),
      });
      return id;
    });
    return { capId: result };
  }

  /** Emits K8sAPIRequestScheduledEvent and keeps the request, as `schedule_k8s_request`. */
  schedule(request: ScheduledRequest): { digest: string; requestId: string } {
    const requestId = request.requestId ?? `req-${++this.#requests}`;
    const type = gatewayType(this.packageId, "K8sAPIRequestScheduledEvent");
    const { digest } = this.chain.execute(request.requester, (tx) => {
      tx.emit(
        type,
        K8sAPIRequestScheduledEvent.serialize({
          request_id: requestId,
          method: request.method,
          resource: request.resource,
          namespace: request.namespace,
          name: request.name,
          payload: request.payload,
          seal_token: request.sealTokenId ?? "0x" + "0".repeat(64),
          requester: request.requester,
          priority: request.priority ?? 5,
          assigned_worker: request.assignedWorker ?? "",
          timestamp: BigInt(this.#clock()),
        }).toBytes(),
      );
      const id = this.requestFieldId(requestId);
      // Ids are unique on a real chain; here a test may choose one twice.
      if (this.chain.latest(id) !== undefined) return;
      tx.create({
        id,
        type: fieldType(
          gatewayType(this.packageId, "RequestKey"),
          gatewayType(this.packageId, "Request"),
        ),
        owner: { kind: "object", id: this.registryId },
        contents: RequestField.serialize({
          id,
          name: requestId,
          value: {
            requester: request.requester,
            assigned_worker: request.assignedWorker ?? "",
            priority: request.priority ?? 5,
            scheduled_at_ms: BigInt(this.#clock()),
            answered: false,
          },
        }).toBytes(),
      });
    });
    return { digest, requestId };
  }

  /** As `record_k8s_result_as_worker`: the assigned worker, or whoever plays it, was first. */
  answer(requestId: string, sender: string, output: string): void {
    const id = this.requestFieldId(requestId);
    const object = this.chain.latest(id);
    if (object === undefined) throw new Error(`no request ${requestId}`);
    const field = RequestField.parse(object.contents);
    if (field.value.answered) throw new Error(`request ${requestId} has its result`);
    this.chain.execute(sender, (tx) => {
      const contents = RequestField.serialize({
        ...field,
        value: { ...field.value, answered: true },
      });
      tx.mutate(id, { contents: contents.toBytes() });
      tx.emit(
        gatewayType(this.packageId, "K8sAPIResultEvent"),
        K8sAPIResultEvent.serialize({
          request_id: requestId,
          assigned_worker: field.value.assigned_worker,
          success: true,
          output,
          error: "",
          execution_time_ms: 1n,
          timestamp: BigInt(this.#clock()),
        }).toBytes(),
      );
    });
  }

  /** As `forget_request`: of an answered one. */
  forget(requestId: string, sender: string): void {
    const id = this.requestFieldId(requestId);
    if (this.chain.latest(id) === undefined) return;
    this.chain.execute(sender, (tx) => tx.remove(id));
  }

  /** Emits the first implementation's K8sAPIRequest. */
  request(request: {
    sender: string;
    method: string;
    path: string;
    namespace: string;
    resourceType: string;
    payload: string;
  }): { digest: string } {
    return this.emit(
      request.sender,
      "K8sAPIRequest",
      K8sAPIRequest.serialize({
        method: request.method,
        path: request.path,
        namespace: request.namespace,
        resource_type: request.resourceType,
        payload: request.payload,
        sender: request.sender,
        timestamp: BigInt(this.#clock()),
      }).toBytes(),
    );
  }

  /** Emits any bytes under a name of the package: for what should not be. */
  emit(sender: string, name: string, contents: Bytes): { digest: string } {
    const { digest } = this.chain.execute(
      sender,
      (tx) => tx.emit(gatewayType(this.packageId, name), contents),
    );
    return { digest };
  }
}

function registryContents(
  id: string,
  clusterId: Uint8Array,
  tableId: string,
  size: bigint,
): Bytes {
  return WorkerRegistry.serialize({ id, cluster_id: clusterId, entries: { id: tableId, size } })
    .toBytes();
}
