/**
 * Results of requests, written on chain by `k8s_gateway::record_k8s_result`: one transaction each,
 * signed by a key of the master's own. The contract takes a result once; what this adds is that a
 * transaction is signed once, too, so that it can be handed in again after any crash.
 */
import { fieldType, gatewayType } from "./address.ts";
import { decodeStrict, MasterCap, RequestField, requestKeyBytes } from "./bcs.ts";
import type { ChainWriter, ObjectRef } from "./chain_writer.ts";
import {
  type Ledger,
  type LedgerObject,
  LedgerProtocolError,
  LedgerUnavailable,
} from "./ledger.ts";

/** What goes on chain of a result: no secret, nothing that was read. */
export interface RecordableResult {
  readonly requestId: string;
  readonly success: boolean;
  /** At most 1024 bytes: a digest. */
  readonly output: string;
  /** At most 1024 bytes. */
  readonly error: string;
  readonly executionTimeMs: number;
}

export interface SignedTransaction {
  /** BCS of TransactionData, base64. */
  readonly transaction: string;
  /** Serialized, base64. */
  readonly signature: string;
}

export interface ResultSignerOptions {
  readonly ledger: Ledger;
  readonly writer: ChainWriter;
  /** Where `k8s_gateway` was first published, 0x + 64 hex. */
  readonly packageId: string;
  readonly registryId: string;
  /** Object id of the MasterCap that the signer's address owns. */
  readonly masterCapId: string;
  readonly gasBudgetMist: bigint;
  /** Ed25519, 32 bytes. */
  readonly seed: Uint8Array;
}

/** The master cannot sign now: its cap or its gas is missing. An operator's matter. */
export class SignerNotReady extends Error {
  override readonly name = "SignerNotReady";
  readonly code = "signer_not_ready";
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export interface ResultSigner {
  /** 0x + 64 hex: who pays, and who must own the MasterCap. */
  readonly address: string;
  /** What a result may cost at most. */
  readonly gasBudgetMist: bigint;
  readonly masterCapId: string;
  /**
   * Looks whether a result could be signed now: the MasterCap is there, and gas for one.
   *
   * @param seen as of `sign`
   * @throws as `sign`
   */
  check(signal: AbortSignal, seen?: (balanceMist: bigint) => void): Promise<void>;
  /**
   * Whether the chain waits for this result.
   *
   * @param since checkpoint of the request's event: a node that stands before it cannot say
   * @throws {LedgerUnavailable} @throws {LedgerProtocolError}
   */
  state(
    requestId: string,
    since: bigint,
    signal: AbortSignal,
  ): Promise<"open" | "answered" | "unknown">;
  /**
   * Signs the transaction that records the result, over the objects as they stand now.
   *
   * @param seen is told what the address holds for gas, MIST, 50 coins at most
   * @throws {SignerNotReady} @throws {LedgerUnavailable} @throws {LedgerProtocolError}
   */
  sign(
    result: RecordableResult,
    signal: AbortSignal,
    seen?: (balanceMist: bigint) => void,
  ): Promise<SignedTransaction>;
}

/** Address of the signer that a seed makes, 0x + 64 hex. @throws {TypeError} as createResultSigner */
export async function signerAddress(seed: Uint8Array): Promise<string> {
  if (seed.length !== 32) throw new TypeError("seed: expected 32 bytes");
  const { Ed25519Keypair } = await import("@mysten/sui/keypairs/ed25519");
  return Ed25519Keypair.fromSecretKey(seed).toSuiAddress();
}

const CLOCK = { objectId: "0x6", initialSharedVersion: "1", mutable: false } as const;
/** The contract's own bound on output and error. */
const MAX_TEXT_BYTES = 1024;

/** @throws {TypeError} when the seed has another length */
export async function createResultSigner(options: ResultSignerOptions): Promise<ResultSigner> {
  const { ledger, writer, packageId, registryId, masterCapId, gasBudgetMist } = options;
  if (options.seed.length !== 32) throw new TypeError("seed: expected 32 bytes");
  const [{ Ed25519Keypair }, { Transaction }] = await Promise.all([
    import("@mysten/sui/keypairs/ed25519"),
    import("@mysten/sui/transactions"),
  ]);
  const keypair = Ed25519Keypair.fromSecretKey(options.seed);
  const address = keypair.toSuiAddress();
  const keyType = gatewayType(packageId, "RequestKey");
  const requestType = fieldType(keyType, gatewayType(packageId, "Request"));

  async function cap(signal: AbortSignal): Promise<ObjectRef> {
    const object = await ledger.getObject(masterCapId, signal);
    const hint = `give a MasterCap of the registry to ${address} and name it in ` +
      "NAUTILUS_SUI_MASTER_CAP";
    if (object === undefined || object.type !== gatewayType(packageId, "MasterCap")) {
      throw new SignerNotReady(`${masterCapId} is no MasterCap`, hint);
    }
    if (object.owner.kind !== "address" || object.owner.address !== address) {
      throw new SignerNotReady(`the MasterCap ${masterCapId} is not the signer's`, hint);
    }
    if (decodeStrict(MasterCap, object.contents).registry !== registryId) {
      throw new SignerNotReady(`the MasterCap ${masterCapId} is of another registry`, hint);
    }
    return refOf(object);
  }

  async function gas(
    signal: AbortSignal,
    seen: ((balanceMist: bigint) => void) | undefined,
  ): Promise<ObjectRef[]> {
    const coins = await writer.gasCoins(address, signal);
    seen?.(coins.reduce((total, { balanceMist }) => total + balanceMist, 0n));
    let sum = 0n;
    const payment: ObjectRef[] = [];
    for (const coin of coins.toSorted((a, b) => a.balanceMist > b.balanceMist ? -1 : 1)) {
      if (sum >= gasBudgetMist) break;
      sum += coin.balanceMist;
      payment.push({ objectId: coin.objectId, version: coin.version, digest: coin.digest });
    }
    if (sum < gasBudgetMist) {
      throw new SignerNotReady(
        `${address} holds ${sum} MIST for gas, ${gasBudgetMist} are budgeted for a result`,
        "send it SUI, or lower NAUTILUS_SUI_GAS_BUDGET_MIST",
      );
    }
    return payment;
  }

  /** Both are looked at, so that the purse is known in any case; of two lacks the cap is told. */
  async function capAndGas(
    signal: AbortSignal,
    seen: ((balanceMist: bigint) => void) | undefined,
  ): Promise<readonly [ObjectRef, ObjectRef[]]> {
    const [held, payment] = await Promise.allSettled([cap(signal), gas(signal, seen)]);
    if (held.status === "rejected") throw held.reason;
    if (payment.status === "rejected") throw payment.reason;
    return [held.value, payment.value];
  }

  async function registryVersion(signal: AbortSignal): Promise<string> {
    const object = await ledger.getObject(registryId, signal);
    if (object?.owner.kind !== "shared") {
      throw new LedgerProtocolError(`registry ${registryId}: no shared object`);
    }
    return object.owner.initialVersion.toString();
  }

  return {
    address,
    gasBudgetMist,
    masterCapId,
    async check(signal, seen) {
      await capAndGas(signal, seen);
    },
    async state(requestId, since, signal) {
      const name = { type: keyType, bcs: requestKeyBytes(requestId) };
      let field = await ledger.getDynamicField(registryId, name, signal);
      if (field === undefined) {
        // Not there, or not there yet where this node stands.
        const { checkpoint } = await ledger.status(signal);
        if (checkpoint < since) {
          throw new LedgerUnavailable(
            `the node stands at checkpoint ${checkpoint}, before request ${requestId} (${since})`,
          );
        }
        field = await ledger.getDynamicField(registryId, name, signal);
      }
      if (field === undefined) return "unknown";
      if (field.type !== requestType) {
        throw new LedgerProtocolError(`request ${requestId}: type ${field.type}`);
      }
      return decodeStrict(RequestField, field.contents).value.answered ? "answered" : "open";
    },
    async sign(result, signal, seen) {
      const [[masterCap, payment], price, initialSharedVersion] = await Promise.all([
        capAndGas(signal, seen),
        writer.referenceGasPrice(signal),
        registryVersion(signal),
      ]);
      const tx = new Transaction();
      tx.setSender(address);
      tx.setGasPayment(payment);
      tx.setGasPrice(price);
      tx.setGasBudget(gasBudgetMist);
      tx.moveCall({
        target: `${packageId}::k8s_gateway::record_k8s_result`,
        arguments: [
          tx.objectRef(masterCap),
          tx.sharedObjectRef({ objectId: registryId, initialSharedVersion, mutable: true }),
          tx.pure.string(result.requestId),
          tx.pure.bool(result.success),
          tx.pure.string(bounded(result.output)),
          tx.pure.string(bounded(result.error)),
          tx.pure.u64(BigInt(Math.max(0, Math.round(result.executionTimeMs)))),
          tx.sharedObjectRef(CLOCK),
        ],
      });
      const { bytes, signature } = await keypair.signTransaction(await tx.build());
      return { transaction: bytes, signature };
    },
  };
}

function refOf({ id, version, digest }: LedgerObject): ObjectRef {
  return { objectId: id, version: version.toString(), digest };
}

/** The longest beginning that the contract takes; never half a character. */
function bounded(text: string): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= MAX_TEXT_BYTES) return text;
  return new TextDecoder().decode(bytes.subarray(0, MAX_TEXT_BYTES - 4)).replace(/\ufffd+$/, "");
}
