/**
 * The ledger over a Sui full node's gRPC API (`sui.rpc.v2`, gRPC-web over fetch). Reads
 * only (grpc_writer.ts writes); the clients of @mysten/sui are loaded when it is opened, not before.
 */
import type { GrpcTypes, RpcError, SuiGrpcClient } from "@mysten/sui/grpc";
import { follow } from "./abort.ts";
import { addressBytes, canonicalAddress } from "./address.ts";
import { decodeCursor } from "./cursor.ts";
import { eventPage, moduleFilter, type StartPosition } from "./event_page.ts";
import { decodeObject, decodeStatus, EVENT_READ_MASK, OBJECT_READ_MASK } from "./grpc_decode.ts";
import {
  ANSWER_TOO_LARGE,
  guardedFetch,
  observationOf,
  type ResponseHeaders,
} from "./grpc_transport.ts";
import {
  type EventCursor,
  type EventPage,
  type EventStart,
  type Ledger,
  LedgerHistoryPruned,
  type LedgerObject,
  type LedgerObservation,
  LedgerProtocolError,
  type LedgerStatus,
  LedgerUnavailable,
} from "./ledger.ts";
import { ObjectBatcher } from "./object_batcher.ts";
import type { ZkLoginVerifier } from "./wallet_signature.ts";

export interface GrpcLedgerOptions {
  /** `https://host:port` of a full node; `http://` only for tests and loopback. */
  readonly endpoint: string;
  /** Base58. An answer from another chain is refused. Absent: the first answer's chain is kept. */
  readonly chainId?: string;
  /** Most a request may take, milliseconds. Default 10000. */
  readonly timeoutMs?: number;
  /** Largest answer taken, bytes. Default 16 MiB. */
  readonly maxAnswerBytes?: number;
  /** Requests for objects on their way at once. Default 8. */
  readonly maxInFlight?: number;
  /** Default: the platform's. */
  readonly fetch?: typeof fetch;
}

/** The ledger, and the node's word on signatures that only the chain can judge. */
export interface ChainClient extends Ledger {
  readonly zkLogin: ZkLoginVerifier;
}

/** Per object, so that one answer that cannot be does not take the others of its batch with it. */
type ObjectAnswer =
  | { readonly object: LedgerObject | undefined }
  | { readonly error: LedgerProtocolError | LedgerUnavailable };

/** gRPC codes that say "your request cannot be", where asking again does not help. */
const REFUSED = new Set(["INVALID_ARGUMENT", "UNIMPLEMENTED", "PERMISSION_DENIED"]);

/**
 * Opens the ledger. Asks nothing of the node yet.
 *
 * @throws {TypeError} when the endpoint is no http(s) URL
 */
export async function openGrpcLedger(options: GrpcLedgerOptions): Promise<ChainClient> {
  const endpoint = new URL(options.endpoint);
  if (endpoint.protocol !== "https:" && endpoint.protocol !== "http:") {
    throw new TypeError(`endpoint: expected http or https, got ${endpoint.protocol}`);
  }
  const [{ SuiGrpcClient, GrpcTypes, RpcError }, { deriveDynamicFieldID }] = await Promise.all([
    import("@mysten/sui/grpc"),
    import("@mysten/sui/utils"),
  ]);
  const client = new SuiGrpcClient({
    network: "custom",
    baseUrl: endpoint.href.replace(/\/$/, ""),
    format: "binary",
    fetch: guardedFetch(options.fetch ?? fetch, options.maxAnswerBytes ?? 16 * 1024 * 1024),
  });
  return new GrpcLedger({
    client,
    endpoint: endpoint.host,
    chainId: options.chainId,
    timeoutMs: options.timeoutMs ?? 10_000,
    maxInFlight: options.maxInFlight ?? 8,
    queryEnd: GrpcTypes.QueryEndReason,
    isRpcError: (error): error is RpcError => error instanceof RpcError,
    fieldId: (parentId, type, key) => deriveDynamicFieldID(parentId, type, key),
  });
}

interface Parts {
  readonly client: SuiGrpcClient;
  readonly endpoint: string;
  readonly chainId: string | undefined;
  readonly timeoutMs: number;
  readonly maxInFlight: number;
  readonly queryEnd: typeof GrpcTypes.QueryEndReason;
  readonly isRpcError: (error: unknown) => error is RpcError;
  readonly fieldId: (parentId: string, type: string, key: Uint8Array) => string;
}

class GrpcLedger implements ChainClient {
  readonly #parts: Parts;
  readonly #batcher: ObjectBatcher<ObjectAnswer>;
  readonly #closing = new AbortController();
  #chainId: string | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#chainId = parts.chainId;
    this.#batcher = new ObjectBatcher({
      read: (ids) => this.#readObjects(ids),
      maxBatch: 50,
      maxInFlight: parts.maxInFlight,
      maxWaiting: 10_000,
    });
  }

  readonly zkLogin: ZkLoginVerifier = {
    verifyPersonalMessage: (message, signature, address, signal) =>
      this.#ask("VerifySignature", signal, async (abort) => {
        const { success, errors } = await this.#parts.client.core.verifyZkLoginSignature({
          bytes: Uint8Array.from(message).toBase64(),
          signature,
          intentScope: "PersonalMessage",
          address,
          signal: abort,
        });
        return success === true && errors.length === 0;
      }),
  };

  status(signal?: AbortSignal): Promise<LedgerStatus> {
    return this.#ask("GetServiceInfo", signal, async (abort) => {
      const { response } = await this.#parts.client.ledgerService.getServiceInfo({}, { abort });
      const status = decodeStatus(response);
      this.#pin(status.chainId);
      return status;
    });
  }

  async getObject(id: string, signal?: AbortSignal): Promise<LedgerObject | undefined> {
    const canonical = canonicalAddress(id);
    if (canonical === undefined) throw new TypeError(`object id: ${JSON.stringify(id)}`);
    // The request is shared with other readers: a caller that gives up only stops waiting for it.
    const answer = await this.#unlessAborted(signal, this.#batcher.get(canonical));
    if ("error" in answer) throw answer.error;
    return answer.object;
  }

  async getDynamicField(
    parentId: string,
    name: { readonly type: string; readonly bcs: Uint8Array<ArrayBuffer> },
    signal?: AbortSignal,
  ): Promise<LedgerObject | undefined> {
    const parent = canonicalAddress(parentId);
    if (parent === undefined) throw new TypeError(`parent id: ${JSON.stringify(parentId)}`);
    const fieldId = this.#parts.fieldId(parent, name.type, name.bcs);
    const field = await this.getObject(fieldId, signal);
    if (field === undefined) return undefined;
    if (field.owner.kind !== "object" || field.owner.id !== parent) {
      throw new LedgerProtocolError(`dynamic field ${fieldId}: its owner is not ${parent}`);
    }
    // Field<Name, Value> { id: UID, name: Name, value: Value }.
    const { contents } = field;
    if (
      !startsWith(contents, addressBytes(fieldId), 0) || !startsWith(contents, name.bcs, 32)
    ) {
      throw new LedgerProtocolError(
        `dynamic field ${fieldId}: its contents name another id or key`,
      );
    }
    return field;
  }

  async events(
    filter: { readonly packageId: string; readonly module: string },
    after: EventCursor | EventStart | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<EventPage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
      throw new RangeError(`limit: expected 1 to 1000, got ${limit}`);
    }
    const cursor = typeof after === "string" ? decodeCursor(after) : undefined;
    if (typeof after === "string" && cursor === undefined) {
      throw new LedgerProtocolError(`event cursor: ${JSON.stringify(after.slice(0, 100))}`);
    }
    const startCheckpoint = typeof after === "object" ? after.checkpoint : undefined;
    const position = cursor ?? {
      checkpoint: startCheckpoint === undefined || startCheckpoint === 0n
        ? 0n
        : startCheckpoint - 1n,
      event: undefined,
      token: undefined,
    };
    for (let want = limit;; want = Math.ceil(want / 8)) {
      try {
        return await this.#listEvents(filter, position, after, want, signal);
      } catch (error) {
        // Large events, not a flood: fewer of them must fit, and one always does.
        if (want === 1 || !isTooLarge(error)) throw error;
      }
    }
  }

  #listEvents(
    filter: { readonly packageId: string; readonly module: string },
    position: StartPosition,
    after: EventCursor | EventStart | undefined,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<EventPage> {
    const startCheckpoint = typeof after === "object" ? after.checkpoint : undefined;
    return this.#ask("ListEvents", signal, async (abort) => {
      const call = this.#parts.client.ledgerService.listEvents({
        readMask: { paths: [...EVENT_READ_MASK] },
        filter: moduleFilter(filter),
        ...(startCheckpoint === undefined ? {} : { startCheckpoint }),
        options: { limit, ...(position.token === undefined ? {} : { after: position.token }) },
      }, { abort });
      const headers = call.headers;
      headers.catch(() => {}); // reported by the loop below
      const frames: GrpcTypes.ListEventsResponse[] = [];
      for await (const frame of call.responses) {
        // Progress reports replace each other; only events may add up.
        const last = frames.at(-1);
        if (last !== undefined && last.event === undefined && last.end === undefined) frames.pop();
        frames.push(frame);
        if (frames.length > 2 * limit + 2) {
          throw new LedgerProtocolError(`ListEvents: asked for ${limit} events, got far more`);
        }
      }
      this.#observe(await headers);
      return eventPage(frames, position, typeof after === "string" ? after : undefined, {
        endpoint: this.#parts.endpoint,
        queryEnd: this.#parts.queryEnd,
      });
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new LedgerUnavailable("the ledger is closed"));
    return Promise.resolve();
  }

  #readObjects(ids: readonly string[]): Promise<readonly ObjectAnswer[]> {
    return this.#ask("BatchGetObjects", undefined, async (abort) => {
      const call = this.#parts.client.ledgerService.batchGetObjects({
        requests: ids.map((objectId) => ({ objectId })),
        readMask: { paths: [...OBJECT_READ_MASK] },
      }, { abort });
      const [headers, response] = await Promise.all([call.headers, call.response]);
      await call.status;
      const observed = this.#observe(headers);
      if (response.objects.length !== ids.length) {
        throw new LedgerProtocolError(
          `BatchGetObjects: asked for ${ids.length} objects, got ${response.objects.length}`,
        );
      }
      return ids.map((id, i): ObjectAnswer => {
        try {
          return { object: this.#object(id, response.objects[i]?.result, observed) };
        } catch (error) {
          if (error instanceof LedgerProtocolError || error instanceof LedgerUnavailable) {
            return { error };
          }
          throw error;
        }
      });
    });
  }

  #object(
    id: string,
    result: GrpcTypes.GetObjectResult["result"] | undefined,
    observed: LedgerObservation | undefined,
  ): LedgerObject | undefined {
    switch (result?.oneofKind) {
      case "object":
        return decodeObject(id, result.object, observed);
      case "error":
        // google.rpc.Code NOT_FOUND, said by the node itself of this very object.
        if (result.error.code === 5) return undefined;
        throw new LedgerUnavailable(
          `${this.#parts.endpoint}: object ${id}: gRPC status ${result.error.code}: ` +
            result.error.message.slice(0, 200),
        );
      default:
        throw new LedgerProtocolError(`object ${id}: neither an object nor an error`);
    }
  }

  /** One request with its time limit; every failure leaves as one of the port's errors. */
  async #ask<T>(
    what: string,
    signal: AbortSignal | undefined,
    send: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { endpoint, timeoutMs, isRpcError } = this.#parts;
    // One controller per request, let go of afterwards: AbortSignal.any would tie every request to
    // the ledger's own signal for as long as the ledger lives.
    const request = new AbortController();
    const abort = request.signal;
    let timedOut = false;
    const timeout = setTimeout(() => {
      timedOut = true;
      request.abort(new DOMException(`no answer within ${timeoutMs} ms`, "TimeoutError"));
    }, timeoutMs);
    const unlink = [this.#closing.signal, signal].map((source) => follow(source, request));
    try {
      abort.throwIfAborted();
      return await send(abort);
    } catch (error) {
      if (
        error instanceof LedgerProtocolError || error instanceof LedgerUnavailable ||
        error instanceof LedgerHistoryPruned
      ) throw error;
      if (timedOut) {
        throw new LedgerUnavailable(`${endpoint}: ${what}: no answer within ${timeoutMs} ms`, {
          cause: error,
        });
      }
      if (abort.aborted) {
        throw new LedgerUnavailable(
          `${endpoint}: ${what}: aborted: ${describe(abort.reason)}`,
          { cause: abort.reason },
        );
      }
      if (isRpcError(error)) {
        const message = `${endpoint}: ${what}: ${error.code}: ${error.message.slice(0, 300)}`;
        if (error.code === "OUT_OF_RANGE") {
          throw new LedgerHistoryPruned(message, {
            cause: error,
            hint: "use an endpoint that keeps older history",
          });
        }
        if (REFUSED.has(error.code)) throw new LedgerProtocolError(message, { cause: error });
        throw new LedgerUnavailable(message, { cause: error });
      }
      throw new LedgerUnavailable(`${endpoint}: ${what}: ${describe(error)}`, { cause: error });
    } finally {
      clearTimeout(timeout);
      for (const stop of unlink) stop();
    }
  }

  #observe(headers: ResponseHeaders): LedgerObservation | undefined {
    const observed = observationOf(headers);
    if (observed !== undefined) this.#pin(observed.chainId);
    return observed;
  }

  #pin(chainId: string): void {
    this.#chainId ??= chainId;
    if (chainId !== this.#chainId) {
      throw new LedgerProtocolError(
        `${this.#parts.endpoint}: chain ${chainId}, expected ${this.#chainId}`,
        { hint: "the endpoint belongs to another Sui network" },
      );
    }
  }

  async #unlessAborted<T>(signal: AbortSignal | undefined, work: Promise<T>): Promise<T> {
    if (signal === undefined) return await work;
    const { promise, reject } = Promise.withResolvers<never>();
    const stop = () =>
      reject(
        new LedgerUnavailable(`${this.#parts.endpoint}: aborted`, { cause: signal.reason }),
      );
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    try {
      return await Promise.race([work, promise]);
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }
}

function isTooLarge(error: unknown): boolean {
  return error instanceof LedgerUnavailable && error.message.includes(ANSWER_TOO_LARGE);
}

function startsWith(bytes: Uint8Array, part: Uint8Array, at: number): boolean {
  if (bytes.length < at + part.length) return false;
  for (let i = 0; i < part.length; i++) if (bytes[at + i] !== part[i]) return false;
  return true;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
