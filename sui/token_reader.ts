/** What the chain says of one Seal token now: its own object and its entry in the registry. */
import {
  addressBytes,
  canonicalAddress,
  fieldType,
  gatewayType,
  OBJECT_ID_TYPE,
} from "./address.ts";
import {
  BcsDecodeError,
  decodeStrict,
  SealToken,
  WORKER_STATUSES,
  WorkerEntryField,
  WorkerRegistry,
} from "./bcs.ts";
import {
  type Ledger,
  type LedgerObject,
  LedgerProtocolError,
  LedgerUnavailable,
  RegistryUnusable,
} from "./ledger.ts";
import type { TokenDecision, TokenRefusalCode } from "./seal_token_types.ts";

export interface TokenReaderOptions {
  readonly ledger: Ledger;
  /** Where the package was first published: the address in its types. */
  readonly packageId: string;
  /** Object id of the shared WorkerRegistry. */
  readonly registryId: string;
  /** 16 bytes; absent: the registry's own. */
  readonly clusterId?: Uint8Array | undefined;
  readonly minimumStakeMist: bigint;
  readonly clock: () => number;
  /** Answers of a node whose newest checkpoint is older are not used. Absent: no limit. */
  readonly maxChainAgeMs?: number | undefined;
}

interface Registry {
  readonly tableId: string;
  readonly clusterId: Uint8Array;
}

export class TokenReader {
  readonly #options: TokenReaderOptions;
  readonly #tokenType: string;
  readonly #fieldType: string;
  #registry: Registry | undefined;
  #floor = 0n;

  constructor(options: TokenReaderOptions) {
    const packageId = canonicalAddress(options.packageId);
    const registryId = canonicalAddress(options.registryId);
    if (packageId === undefined) throw new TypeError(`packageId: ${options.packageId}`);
    if (registryId === undefined) throw new TypeError(`registryId: ${options.registryId}`);
    if (options.clusterId !== undefined && options.clusterId.length !== 16) {
      throw new TypeError(`clusterId: expected 16 bytes, got ${options.clusterId.length}`);
    }
    this.#options = { ...options, packageId, registryId };
    this.#tokenType = gatewayType(packageId, "SealToken");
    this.#fieldType = fieldType(OBJECT_ID_TYPE, gatewayType(packageId, "WorkerEntry"));
  }

  /** From now on answers of nodes that stand before `checkpoint` are not used. */
  requireCheckpoint(checkpoint: bigint): void {
    if (checkpoint > this.#floor) this.#floor = checkpoint;
  }

  /**
   * Expiry is judged at `clock()`; every other fact as the chain has it.
   *
   * @param tokenId 0x + 64 hex
   * @throws {LedgerUnavailable} @throws {LedgerProtocolError}
   */
  async read(tokenId: string, signal: AbortSignal): Promise<TokenDecision> {
    // As it is now: what is revoked while this is on its way concerns other tokens, or comes back
    // to this one through its flight.
    const floor = this.#floor;
    const registry = this.#registry ?? await this.#readRegistry(signal);
    // Asked for together, so that they travel in one request.
    const [token, field] = await Promise.all([
      this.#options.ledger.getObject(tokenId, signal),
      this.#options.ledger.getDynamicField(
        registry.tableId,
        { type: OBJECT_ID_TYPE, bcs: addressBytes(tokenId) },
        signal,
      ),
    ]);
    this.#assertFresh(token, floor);
    this.#assertFresh(field, floor);
    try {
      return this.#judge(tokenId, registry, token, field);
    } catch (error) {
      if (!(error instanceof BcsDecodeError)) throw error;
      throw new LedgerProtocolError(`token ${tokenId}: ${error.message}`, { cause: error });
    }
  }

  #judge(
    tokenId: string,
    registry: Registry,
    object: LedgerObject | undefined,
    field: LedgerObject | undefined,
  ): TokenDecision {
    if (object === undefined) return refuse("not_found", "no such object on chain");
    if (object.type !== this.#tokenType) {
      return refuse("wrong_type", `the object is a ${object.type}, not a ${this.#tokenType}`);
    }
    const token = decodeStrict(SealToken, object.contents);
    if (token.id !== tokenId) {
      throw new LedgerProtocolError(`token ${tokenId}: its contents name ${token.id}`);
    }
    if (object.owner.kind !== "address" || object.owner.address !== token.owner) {
      return refuse("wrong_owner", "the token is not held by the owner it names");
    }
    if (!equal(token.cluster_id, registry.clusterId)) {
      return refuse("wrong_cluster", "the token belongs to another cluster");
    }
    if (token.node_key_hash.length !== 32) {
      return refuse("malformed", "the token names no node key of 32 bytes");
    }
    if (field === undefined) {
      return refuse("not_registered", "the registry has no entry for this token");
    }
    if (field.type !== this.#fieldType) {
      throw new LedgerProtocolError(`registry entry of ${tokenId}: type ${field.type}`);
    }
    const { id, name, value: entry } = decodeStrict(WorkerEntryField, field.contents);
    if (id !== field.id || name !== tokenId) {
      throw new LedgerProtocolError(`registry entry of ${tokenId}: its contents name ${name}`);
    }
    const status = WORKER_STATUSES[entry.status];
    if (status === undefined) {
      throw new LedgerProtocolError(`registry entry of ${tokenId}: status ${entry.status}`);
    }
    if (entry.owner !== token.owner) {
      return refuse("wrong_owner", "the registry names another owner than the token");
    }
    if (entry.node_id !== token.node_id) {
      return refuse("wrong_node", "the registry names another node than the token");
    }
    if (entry.revoked) return refuse("revoked", "the token was revoked");
    if (status !== "active") return refuse("inactive", `the worker is ${status} on chain`);
    const { minimumStakeMist } = this.#options;
    if (entry.stake_amount < minimumStakeMist) {
      return refuse(
        "insufficient_stake",
        `the stake is ${entry.stake_amount} MIST, at least ${minimumStakeMist} are asked for`,
      );
    }
    const expiresAtMs = safeNumber(token.expires_at_ms);
    if (expiresAtMs <= this.#options.clock()) return EXPIRED;
    return Object.freeze<TokenDecision>({
      valid: true,
      token: Object.freeze({
        tokenId,
        owner: token.owner,
        nodeId: token.node_id,
        nodeKeyHash: token.node_key_hash.toHex(),
        permissions: Object.freeze([...token.permissions]),
        stakeMist: entry.stake_amount,
        stakeStatus: status,
        expiresAtMs,
      }),
    });
  }

  /**
   * The registry as the chain has it now.
   *
   * @throws {RegistryUnusable} where it is none, another contract's or another cluster's
   * @throws {LedgerUnavailable} @throws {LedgerProtocolError}
   */
  async checkRegistry(signal: AbortSignal): Promise<void> {
    await this.#readRegistry(signal);
  }

  async #readRegistry(signal: AbortSignal): Promise<Registry> {
    const { ledger, registryId, clusterId, packageId } = this.#options;
    const object = await ledger.getObject(registryId, signal);
    const hint = "check CONTRACT_ADDRESS and NAUTILUS_SUI_REGISTRY against the network";
    if (object === undefined) {
      throw new RegistryUnusable(`registry ${registryId}: no such object on chain`, { hint });
    }
    const expected = gatewayType(packageId, "WorkerRegistry");
    if (object.type !== expected || object.owner.kind !== "shared") {
      throw new RegistryUnusable(
        `registry ${registryId}: ${object.owner.kind} ${object.type}, expected shared ${expected}`,
        { hint },
      );
    }
    let registry;
    try {
      registry = decodeStrict(WorkerRegistry, object.contents);
    } catch (cause) {
      throw new RegistryUnusable(`registry ${registryId}: malformed`, { cause, hint });
    }
    if (registry.id !== registryId || registry.cluster_id.length !== 16) {
      throw new RegistryUnusable(`registry ${registryId}: its contents cannot be`, { hint });
    }
    if (clusterId !== undefined && !equal(clusterId, registry.cluster_id)) {
      throw new RegistryUnusable(
        `registry ${registryId}: cluster ${registry.cluster_id.toHex()}, expected ${
          Uint8Array.from(clusterId).toHex()
        }`,
        { hint: "check NAUTILUS_CLUSTER_ID" },
      );
    }
    // Neither the table nor the cluster of a registry can change.
    return this.#registry = { tableId: registry.entries.id, clusterId: registry.cluster_id };
  }

  /** An answer from before a revocation that is known here would say yes to what is over. */
  #assertFresh(object: LedgerObject | undefined, floor: bigint): void {
    if (object === undefined) return; // "no" needs no freshness to be safe
    const { maxChainAgeMs, clock } = this.#options;
    const { observed } = object;
    if (observed === undefined) {
      if (maxChainAgeMs === undefined && floor === 0n) return;
      throw new LedgerUnavailable("the node does not date its answers", {
        hint: "use a full node that sends x-sui-checkpoint-height and x-sui-timestamp-ms",
      });
    }
    if (observed.checkpoint < floor) {
      throw new LedgerUnavailable(
        `the node stands at checkpoint ${observed.checkpoint}, behind ${floor}`,
      );
    }
    const ageMs = clock() - observed.timestampMs;
    if (maxChainAgeMs !== undefined && ageMs > maxChainAgeMs) {
      throw new LedgerUnavailable(
        `the node's newest checkpoint is ${ageMs} ms old, more than ${maxChainAgeMs}`,
      );
    }
  }
}

/** A refusal as a frozen value. */
export function refuse(code: TokenRefusalCode, reason: string): TokenDecision {
  return Object.freeze<TokenDecision>({ valid: false, code, reason });
}

export const EXPIRED: TokenDecision = refuse("expired", "the token has expired");

function safeNumber(value: bigint): number {
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
