/**
 * What validators do with a signed transaction, for the one call that the master makes: signature,
 * gas and object versions are checked, then `record_k8s_result` happens, or aborts and costs its gas.
 */
import { bcs } from "@mysten/sui/bcs";
import { GrpcTypes } from "@mysten/sui/grpc";
import { TransactionDataBuilder } from "@mysten/sui/transactions";
import { verifyTransactionSignature } from "@mysten/sui/verify";
import { gatewayType, SUI_COIN_TYPE } from "../../../sui/address.ts";
import { Coin, MasterCap, RequestField } from "../../../sui/bcs.ts";
import { K8sAPIResultEvent } from "../../../sui/chain_event.ts";
import type { FakeObject, FakeTransaction } from "./chain.ts";
import type { FakeGateway } from "./gateway.ts";
import { GrpcStatus, REFERENCE_GAS_PRICE } from "./node.ts";

const INVALID_ARGUMENT = 3;
const CLOCK = "0x" + "6".padStart(64, "0");
/** MIST; what a call costs here. */
const COST = 1_500_000n;
const MINIMUM_BUDGET = 2_000n * REFERENCE_GAS_PRICE;

type TransactionData = NonNullable<ReturnType<typeof bcs.TransactionData.parse>["V1"]>;
type Programmable = NonNullable<TransactionData["kind"]["ProgrammableTransaction"]>;

/** Clever errors: the constant's name is what a reader sees. */
class MoveAbort extends Error {
  override readonly name = "MoveAbort";
}

export class FakeExecutor {
  readonly #gateway: FakeGateway;
  readonly #executed = new Map<string, Uint8Array>();

  constructor(gateway: FakeGateway) {
    this.#gateway = gateway;
  }

  /** @throws {GrpcStatus} for what validators would not take; a failure on chain is an answer */
  async execute(request: Uint8Array): Promise<Uint8Array> {
    const { transaction, signatures } = GrpcTypes.ExecuteTransactionRequest.fromBinary(request);
    const bytes = transaction?.bcs?.value;
    const [signature, ...others] = signatures;
    if (bytes === undefined || signature?.bcs?.value === undefined || others.length > 0) {
      throw refused("a transaction and one signature are wanted");
    }
    const digest = TransactionDataBuilder.getDigestFromBytes(bytes);
    const before = this.#executed.get(digest);
    if (before !== undefined) return before;
    const data = decode(bytes);
    const text = Uint8Array.from(signature.bcs.value).toBase64();
    const signer = await verifyTransactionSignature(bytes, text).catch((error: unknown) => {
      throw refused(`invalid signature: ${String(error)}`);
    });
    if (signer.toSuiAddress() !== data.sender) throw refused("the sender did not sign");
    const again = this.#executed.get(digest);
    if (again !== undefined) return again;
    const answer = this.#run(digest, data);
    this.#executed.set(digest, answer);
    return answer;
  }

  #run(digest: string, data: TransactionData): Uint8Array {
    const { chain } = this.#gateway;
    const programmable = data.kind.ProgrammableTransaction;
    if (programmable === undefined || programmable === null) throw refused("kind");
    const coins = this.#checkGas(data);
    const owned = this.#checkInputs(programmable, data.sender);
    const [coin, ...merged] = coins;
    if (coin === undefined) throw refused("no gas payment");
    const charge = (tx: FakeTransaction) => {
      const total = coins.reduce((sum, one) => sum + Coin.parse(one.contents).balance, 0n);
      tx.mutate(coin.id, {
        contents: Coin.serialize({ id: coin.id, balance: total - COST }).toBytes(),
      });
      for (const { id } of merged) tx.remove(id);
      // Whoever is named by a transaction has a new version after it, whatever came of it.
      for (const { id } of owned) tx.mutate(id, {});
    };
    let abort: MoveAbort | undefined;
    try {
      chain.execute(data.sender, (tx) => {
        for (const command of programmable.commands) this.#call(tx, programmable, command);
        charge(tx);
      }, digest);
    } catch (error) {
      if (!(error instanceof MoveAbort)) throw error;
      abort = error;
      chain.execute(data.sender, charge, digest);
    }
    return GrpcTypes.ExecuteTransactionResponse.toBinary({
      transaction: {
        digest,
        signatures: [],
        balanceChanges: [],
        effects: {
          status: abort === undefined ? { success: true } : {
            success: false,
            error: {
              description: abort.message,
              command: 0n,
              kind: GrpcTypes.ExecutionError_ExecutionErrorKind.MOVE_ABORT,
              errorDetails: {
                oneofKind: "abort",
                abort: {
                  cleverError: { constantName: abort.message, value: { oneofKind: undefined } },
                },
              },
            },
          },
          changedObjects: [],
          dependencies: [],
          unchangedConsensusObjects: [],
          unchangedLoadedRuntimeObjects: [],
        },
      },
    });
  }

  #checkGas({ gasData, sender }: TransactionData): FakeObject[] {
    if (gasData.owner !== sender) throw refused("sponsored gas is not known here");
    if (BigInt(gasData.price ?? 0) < REFERENCE_GAS_PRICE) {
      throw refused("gas price below reference");
    }
    const budget = BigInt(gasData.budget ?? 0);
    if (budget < MINIMUM_BUDGET) throw refused(`gas budget ${budget} below ${MINIMUM_BUDGET}`);
    const coins = (gasData.payment ?? []).map((ref) => this.#current(ref, sender));
    if (coins.some(({ type }) => type !== SUI_COIN_TYPE)) throw refused("gas payment is no coin");
    const balance = coins.reduce((sum, one) => sum + Coin.parse(one.contents).balance, 0n);
    if (balance < budget) throw refused(`balance of gas objects ${balance} is below ${budget}`);
    return coins;
  }

  #checkInputs({ inputs }: Programmable, sender: string): FakeObject[] {
    const owned: FakeObject[] = [];
    for (const { Object: object } of inputs) {
      const shared = object?.SharedObject;
      if (object?.ImmOrOwnedObject) owned.push(this.#current(object.ImmOrOwnedObject, sender));
      if (!shared || (shared.objectId === CLOCK && !shared.mutable)) continue;
      const found = this.#gateway.chain.latest(shared.objectId);
      if (
        found?.owner.kind !== "shared" ||
        found.owner.initialVersion !== BigInt(shared.initialSharedVersion)
      ) throw refused(`no shared object ${shared.objectId} of that initial version`);
    }
    return owned;
  }

  #current(
    ref: {
      readonly objectId: string;
      readonly version: string | number | bigint;
      readonly digest: string;
    },
    sender: string,
  ): FakeObject {
    const found = this.#gateway.chain.latest(ref.objectId);
    if (found?.version !== BigInt(ref.version) || found.digest !== ref.digest) {
      throw refused(`object ${ref.objectId} version ${ref.version} is unavailable for consumption`);
    }
    if (found.owner.kind !== "address" || found.owner.address !== sender) {
      throw refused(`object ${ref.objectId} is owned by another`);
    }
    return found;
  }

  /** `record_k8s_result(cap, registry, request_id, success, output, error, execution_time_ms, clock)`. */
  #call(
    tx: FakeTransaction,
    { inputs }: Programmable,
    { MoveCall: call }: Programmable["commands"][number],
  ): void {
    const gateway = this.#gateway;
    if (
      !call || call.package !== gateway.packageId || call.module !== "k8s_gateway" ||
      call.function !== "record_k8s_result" || call.arguments.length !== 8
    ) throw refused("this stand-in knows no call but record_k8s_result");
    const input = (i: number) => {
      const at = call.arguments[i]?.Input;
      const found = at === undefined ? undefined : inputs[at];
      if (!found) throw refused(`argument ${i} is no input`);
      return found;
    };
    const pure = (i: number): Uint8Array => {
      const value = input(i).Pure;
      if (!value) throw refused(`argument ${i} is not pure`);
      return Uint8Array.fromBase64(value.bytes);
    };
    const cap = gateway.chain.latest(input(0).Object?.ImmOrOwnedObject?.objectId ?? "");
    if (cap?.type !== gatewayType(gateway.packageId, "MasterCap")) throw refused("no MasterCap");
    const registry = input(1).Object?.SharedObject;
    if (!registry?.mutable) throw refused("the registry is taken by mutable reference");
    if (MasterCap.parse(cap.contents).registry !== registry.objectId) {
      throw new MoveAbort("EWrongRegistry");
    }
    const requestId = bcs.string().parse(pure(2));
    const id = gateway.requestFieldId(requestId);
    const object = gateway.chain.latest(id);
    if (object === undefined) throw new MoveAbort("ENoSuchRequest");
    const field = RequestField.parse(object.contents);
    if (field.value.answered) throw new MoveAbort("EAnswered");
    tx.mutate(id, {
      contents: RequestField.serialize({ ...field, value: { ...field.value, answered: true } })
        .toBytes(),
    });
    tx.mutate(registry.objectId, {});
    tx.emit(
      gatewayType(gateway.packageId, "K8sAPIResultEvent"),
      K8sAPIResultEvent.serialize({
        request_id: requestId,
        assigned_worker: field.value.assigned_worker,
        success: bcs.bool().parse(pure(3)),
        output: bcs.string().parse(pure(4)),
        error: bcs.string().parse(pure(5)),
        execution_time_ms: BigInt(bcs.u64().parse(pure(6))),
        timestamp: BigInt(gateway.chain.tip.timestampMs),
      }).toBytes(),
    );
  }
}

function decode(bytes: Uint8Array): TransactionData {
  const { V1: data } = bcs.TransactionData.parse(bytes);
  if (!data) throw refused("the transaction is of an unknown version");
  return data;
}

function refused(message: string): GrpcStatus {
  return new GrpcStatus(INVALID_ARGUMENT, message);
}
