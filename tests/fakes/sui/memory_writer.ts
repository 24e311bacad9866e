/** The `ChainWriter` port straight over the stand-in's validators, for tests that need no socket. */
import { GrpcTypes } from "@mysten/sui/grpc";
import { SUI_COIN_TYPE } from "../../../sui/address.ts";
import { Coin } from "../../../sui/bcs.ts";
import type { ChainWriter, Execution, GasCoin } from "../../../sui/chain_writer.ts";
import { LedgerUnavailable } from "../../../sui/ledger.ts";
import { FakeExecutor } from "./executor.ts";
import type { FakeGateway } from "./gateway.ts";
import { GrpcStatus, REFERENCE_GAS_PRICE } from "./node.ts";

/**
 * What becomes of the next transaction: it does not arrive; it happens and the answer is lost; it is
 * not taken.
 */
export type WriterFault = "down" | "lost" | "refused";

export class MemoryWriter implements ChainWriter {
  readonly #gateway: FakeGateway;
  readonly #validators: FakeExecutor;
  /** The next transactions, in order. */
  readonly faults: WriterFault[] = [];
  /** Transactions that happened and failed, which costs gas. */
  failed = 0;

  constructor(gateway: FakeGateway) {
    this.#gateway = gateway;
    this.#validators = new FakeExecutor(gateway);
  }

  referenceGasPrice(): Promise<bigint> {
    return Promise.resolve(REFERENCE_GAS_PRICE);
  }

  gasCoins(owner: string): Promise<readonly GasCoin[]> {
    const coins = this.#gateway.chain.owned(owner).filter(({ type }) => type === SUI_COIN_TYPE);
    return Promise.resolve(coins.map(({ id, version, digest, contents }) => ({
      objectId: id,
      version: version.toString(),
      digest,
      balanceMist: Coin.parse(contents).balance,
    })));
  }

  async execute(transaction: Uint8Array, signature: string): Promise<Execution> {
    const fault = this.faults.shift();
    if (fault === "down") throw new LedgerUnavailable("the node is down");
    if (fault === "refused") return { status: "refused", reason: "told to" };
    const execution = await this.#execute(transaction, signature);
    if (execution.status === "failed") this.failed++;
    if (fault === "lost") throw new LedgerUnavailable("the answer is lost");
    return execution;
  }

  async #execute(transaction: Uint8Array, signature: string): Promise<Execution> {
    const request = GrpcTypes.ExecuteTransactionRequest.toBinary({
      transaction: { bcs: { value: transaction } },
      signatures: [{
        bcs: { value: Uint8Array.fromBase64(signature) },
        signature: { oneofKind: undefined },
      }],
    });
    let answer: Uint8Array;
    try {
      answer = await this.#validators.execute(request);
    } catch (error) {
      if (!(error instanceof GrpcStatus)) throw error;
      return { status: "refused", reason: error.message };
    }
    const { transaction: executed } = GrpcTypes.ExecuteTransactionResponse.fromBinary(answer);
    const status = executed?.effects?.status;
    return status?.success === true
      ? { status: "done" }
      : { status: "failed", reason: status?.error?.description ?? "" };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
