/** Transactions over a Sui full node's gRPC API (`sui.rpc.v2`, gRPC-web over fetch). */
import type { RpcError, SuiGrpcClient } from "@mysten/sui/grpc";
import { follow } from "./abort.ts";
import { canonicalAddress, SUI_COIN_TYPE } from "./address.ts";
import { Coin, decodeStrict } from "./bcs.ts";
import type { ChainWriter, Execution, GasCoin } from "./chain_writer.ts";
import { guardedFetch } from "./grpc_transport.ts";
import { LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";

export interface GrpcWriterOptions {
  /** `https://host:port` of a full node; `http://` only for tests and loopback. */
  readonly endpoint: string;
  /** Most a request may take, milliseconds. Default 30000: a transaction waits for its certificate. */
  readonly timeoutMs?: number;
  /** Default: the platform's. */
  readonly fetch?: typeof fetch;
}

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** gRPC codes by which a node says that the validators will not take this transaction. */
const REFUSALS = new Set(["INVALID_ARGUMENT", "FAILED_PRECONDITION", "ABORTED"]);
const MAX_COINS = 50;

/** Asks nothing of the node yet. @throws {TypeError} when the endpoint is no URL */
export async function openGrpcWriter(options: GrpcWriterOptions): Promise<ChainWriter> {
  const { endpoint, timeoutMs = 30_000 } = options;
  const { SuiGrpcClient, RpcError } = await import("@mysten/sui/grpc");
  const client = new SuiGrpcClient({
    network: "custom",
    baseUrl: new URL(endpoint).href.replace(/\/$/, ""),
    format: "binary",
    fetch: guardedFetch(options.fetch ?? fetch, MAX_ANSWER_BYTES),
  });
  return new GrpcWriter(
    client,
    new URL(endpoint).host,
    timeoutMs,
    (error): error is RpcError => error instanceof RpcError,
  );
}

class GrpcWriter implements ChainWriter {
  readonly #client: SuiGrpcClient;
  readonly #endpoint: string;
  readonly #timeoutMs: number;
  readonly #isRpcError: (error: unknown) => error is RpcError;
  readonly #closing = new AbortController();

  constructor(
    client: SuiGrpcClient,
    endpoint: string,
    timeoutMs: number,
    isRpcError: (error: unknown) => error is RpcError,
  ) {
    this.#client = client;
    this.#endpoint = endpoint;
    this.#timeoutMs = timeoutMs;
    this.#isRpcError = isRpcError;
  }

  referenceGasPrice(signal: AbortSignal): Promise<bigint> {
    return this.#ask("GetEpoch", signal, async (abort) => {
      const readMask = { paths: ["reference_gas_price"] };
      const { response } = await this.#client.ledgerService.getEpoch({ readMask }, { abort });
      const price = response.epoch?.referenceGasPrice;
      if (price === undefined || price === 0n) {
        throw new LedgerProtocolError("GetEpoch: epoch.reference_gas_price missing");
      }
      return price;
    });
  }

  gasCoins(owner: string, signal: AbortSignal): Promise<readonly GasCoin[]> {
    return this.#ask("ListOwnedObjects", signal, async (abort) => {
      const { response } = await this.#client.stateService.listOwnedObjects({
        owner,
        objectType: SUI_COIN_TYPE,
        pageSize: MAX_COINS,
        readMask: { paths: ["object_id", "version", "digest", "contents"] },
      }, { abort });
      return response.objects.slice(0, MAX_COINS).map((object): GasCoin => {
        const objectId = canonicalAddress(object.objectId ?? "");
        const { version, digest, contents } = object;
        if (
          objectId === undefined || version === undefined || digest === undefined ||
          contents?.value === undefined
        ) throw new LedgerProtocolError("ListOwnedObjects: a coin lacks a field");
        const { balance: balanceMist } = decodeStrict(Coin, contents.value);
        return { objectId, version: version.toString(), digest, balanceMist };
      });
    });
  }

  execute(transaction: Uint8Array, signature: string, signal: AbortSignal): Promise<Execution> {
    return this.#ask("ExecuteTransaction", signal, async (abort): Promise<Execution> => {
      let answer;
      try {
        answer = await this.#client.transactionExecutionService.executeTransaction({
          transaction: { bcs: { value: transaction } },
          signatures: [{
            bcs: { value: Uint8Array.fromBase64(signature) },
            signature: { oneofKind: undefined },
          }],
          readMask: { paths: ["digest", "effects.status"] },
        }, { abort });
      } catch (error) {
        if (!this.#isRpcError(error) || !REFUSALS.has(error.code)) throw error;
        return { status: "refused", reason: error.message.slice(0, 300) };
      }
      const status = answer.response.transaction?.effects?.status;
      if (status?.success === undefined) {
        throw new LedgerProtocolError("ExecuteTransaction: effects.status missing");
      }
      if (status.success) return { status: "done" };
      const { error } = status;
      const details = error?.errorDetails;
      const name = details?.oneofKind === "abort"
        ? details.abort.cleverError?.constantName
        : undefined;
      const reason = [name, error?.description].filter((part) => part !== undefined).join(": ");
      return { status: "failed", reason: (reason || "no reason given").slice(0, 300) };
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new LedgerUnavailable("the writer is closed"));
    return Promise.resolve();
  }

  async #ask<T>(
    what: string,
    signal: AbortSignal,
    send: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const request = new AbortController();
    const timeout = setTimeout(
      () => request.abort(new DOMException("no answer in time", "TimeoutError")),
      this.#timeoutMs,
    );
    const unlink = [this.#closing.signal, signal].map((source) => follow(source, request));
    try {
      request.signal.throwIfAborted();
      return await send(request.signal);
    } catch (error) {
      if (error instanceof LedgerProtocolError) throw error;
      const said = error instanceof Error ? error.message.slice(0, 300) : String(error);
      throw new LedgerUnavailable(`${this.#endpoint}: ${what}: ${said}`, { cause: error });
    } finally {
      clearTimeout(timeout);
      for (const stop of unlink) stop();
    }
  }
}
