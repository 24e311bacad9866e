/**
 * The ledger over a Sui full node's gRPC API (`sui.rpc.v2`, gRPC-web over fetch). Reads
 * only (grpc_writer.ts writes); the clients of @mysten/sui are loaded when it is opened, not before.
 */
import type { GrpcTypes, RpcError, SuiGrpcClient } from "@mysten/sui/grpc";
import { readBatched } from "./batched_object.ts";
import {
  ANSWER_TOO_LARGE,
  type ChainClient,
  type ChainClientOptions,
  CLIENT_DEFAULTS,
  httpEndpoint,
  type ObjectAnswer,
} from "./chain_client.ts";
import { decodeCursor, type StoredPosition } from "./cursor.ts";
import { type FieldName, readDynamicField } from "./dynamic_field.ts";
import { createFieldIds, type FieldIdOf } from "./dynamic_field_id.ts";
import { eventPage, type ModuleFilter, moduleFilter, type StartPosition } from "./event_page.ts";
import { announcedFetch, subscribeCheckpoints } from "./grpc_checkpoints.ts";
import { decodeObject, decodeStatus, EVENT_READ_MASK, OBJECT_READ_MASK } from "./grpc_decode.ts";
import { guardedFetch, observationOf, type ResponseHeaders } from "./grpc_transport.ts";
import {
  type EventCursor,
  type EventPage,
  type EventStart,
  LedgerHistoryPruned,
  type LedgerObject,
  type LedgerObservation,
  LedgerProtocolError,
  type LedgerStatus,
  LedgerUnavailable,
} from "./ledger.ts";
import { ObjectBatcher } from "./object_batcher.ts";
import { request, type RequestLimits } from "./request.ts";
import type { ZkLoginVerifier } from "./wallet_signature.ts";

export type { ChainClient } from "./chain_client.ts";

/** `endpoint`: `https://host:port` of a full node. */
export type GrpcLedgerOptions = ChainClientOptions;

/** Most pages of 1000 events that one checkpoint may have: beyond it a node makes them up. */
const MAX_SEARCH_PAGES = 100;

/** Where a page begins: behind what `position` names, looked for from a checkpoint on or by token. */
interface ReadFrom {
  readonly position: StartPosition;
  readonly startCheckpoint: bigint | undefined;
}

/** gRPC codes that say "your request cannot be", where asking again does not help. */
const REFUSED = new Set(["INVALID_ARGUMENT", "UNIMPLEMENTED", "PERMISSION_DENIED"]);

/**
 * Opens the ledger. Asks nothing of the node yet.
 *
 * @throws {TypeError} when the endpoint is no http(s) URL
 */
export async function openGrpcLedger(options: GrpcLedgerOptions): Promise<ChainClient> {
  const endpoint = httpEndpoint(options.endpoint);
  const { fetch: send = fetch, chainId, ...given } = options;
  const { timeoutMs, maxAnswerBytes, maxInFlight } = { ...CLIENT_DEFAULTS, ...given };
  const [{ SuiGrpcClient, GrpcTypes, RpcError }, { bcs }] = await Promise.all([
    import("@mysten/sui/grpc"),
    import("@mysten/sui/bcs"),
  ]);
  const baseUrl = endpoint.href.replace(/\/$/, "");
  const clientWith = (fetch: typeof globalThis.fetch) =>
    new SuiGrpcClient({ network: "custom", baseUrl, format: "binary", fetch });
  return new GrpcLedger({
    client: clientWith(guardedFetch(send, maxAnswerBytes)),
    announcing: clientWith(announcedFetch(send)),
    endpoint: endpoint.host,
    chainId,
    timeoutMs,
    maxInFlight,
    queryEnd: GrpcTypes.QueryEndReason,
    isRpcError: (error): error is RpcError => error instanceof RpcError,
    fieldId: createFieldIds((type) => bcs.TypeTag.serialize(type).toBytes()),
  });
}

interface Parts {
  readonly client: SuiGrpcClient;
  /** For the one answer that does not end. */
  readonly announcing: SuiGrpcClient;
  readonly endpoint: string;
  readonly chainId: string | undefined;
  readonly timeoutMs: number;
  readonly maxInFlight: number;
  readonly queryEnd: typeof GrpcTypes.QueryEndReason;
  readonly isRpcError: (error: unknown) => error is RpcError;
  readonly fieldId: FieldIdOf;
}

class GrpcLedger implements ChainClient {
  readonly #parts: Parts;
  readonly #batcher: ObjectBatcher<ObjectAnswer>;
  readonly #closing = new AbortController();
  readonly #limits: RequestLimits;
  #chainId: string | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#chainId = parts.chainId;
    this.#limits = {
      endpoint: parts.endpoint,
      timeoutMs: parts.timeoutMs,
      closing: this.#closing.signal,
      translate: (error, what) => this.#translate(error, what),
    };
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

  getObject(id: string, signal?: AbortSignal): Promise<LedgerObject | undefined> {
    return readBatched(this.#batcher, this.#parts.endpoint, id, signal);
  }

  getDynamicField(
    parentId: string,
    name: FieldName,
    signal?: AbortSignal,
  ): Promise<LedgerObject | undefined> {
    return readDynamicField(
      parentId,
      name,
      this.#parts.fieldId,
      (id) => this.getObject(id, signal),
    );
  }

  async events(
    filter: ModuleFilter,
    after: EventCursor | EventStart | undefined,
    limit: number,
    signal?: AbortSignal,
  ): Promise<EventPage> {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
      throw new RangeError(`limit: expected 1 to 1000, got ${limit}`);
    }
    const cursor = typeof after === "string" ? after : undefined;
    const stored = cursor === undefined ? undefined : decodeCursor(cursor);
    if (cursor !== undefined && stored === undefined) {
      throw new LedgerProtocolError(`event cursor: ${JSON.stringify(cursor.slice(0, 100))}`);
    }
    try {
      const from = stored === undefined
        ? beginning(typeof after === "object" ? after : {})
        : await this.#continuing(filter, stored, signal);
      return await this.#readEvents(filter, from, cursor, limit, signal);
    } catch (error) {
      // A cursor of another endpoint may stand where this node has not been yet.
      if (stored === undefined || stored.token !== undefined) throw error;
      if (!(error instanceof LedgerProtocolError)) throw error;
      if ((await this.status(signal)).checkpoint >= stored.checkpoint) throw error;
      return { events: [], hasMore: false, cursor, covered: undefined };
    }
  }

  /** Where to go on: by the node's own cursor, or by the place that another endpoint wrote down. */
  async #continuing(
    filter: ModuleFilter,
    stored: StoredPosition,
    signal: AbortSignal | undefined,
  ): Promise<ReadFrom> {
    const { checkpoint, event, token } = stored;
    if (event === undefined) {
      const position = { checkpoint, event, token };
      return { position, startCheckpoint: token === undefined ? checkpoint + 1n : undefined };
    }
    const { transactionIndex, transactionDigest, eventIndex } = event;
    if (transactionIndex !== undefined) {
      const position = { checkpoint, event: { ...event, transactionIndex }, token };
      return { position, startCheckpoint: token === undefined ? checkpoint : undefined };
    }
    let from: ReadFrom = beginning({ checkpoint });
    for (let pages = 0; pages < MAX_SEARCH_PAGES; pages++) {
      const page = await this.#readEvents(filter, from, undefined, 1000, signal);
      const found = page.events.find((one) =>
        one.transactionDigest === transactionDigest && one.eventIndex === eventIndex
      );
      const next = decodeCursor(found?.cursor ?? page.cursor ?? "");
      if (found === undefined) {
        const last = page.events.at(-1);
        if (!page.hasMore || last === undefined || last.checkpoint > checkpoint) {
          throw new LedgerProtocolError(
            `${this.#parts.endpoint}: no event ${transactionDigest}/${eventIndex} ` +
              `in checkpoint ${checkpoint}, where the cursor stands`,
          );
        }
      }
      if (next === undefined) throw new TypeError("a page has a cursor");
      from = await this.#continuing(filter, next, signal);
      if (found !== undefined) return from;
    }
    throw new LedgerUnavailable(
      `${this.#parts.endpoint}: checkpoint ${checkpoint} has no end after ${MAX_SEARCH_PAGES} pages`,
    );
  }

  /** One page; of fewer events where they are large. */
  async #readEvents(
    filter: ModuleFilter,
    from: ReadFrom,
    after: EventCursor | undefined,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<EventPage> {
    for (let want = limit;; want = Math.ceil(want / 8)) {
      try {
        return await this.#listEvents(filter, from, after, want, signal);
      } catch (error) {
        // Large events, not a flood: fewer of them must fit, and one always does.
        if (want === 1 || !isTooLarge(error)) throw error;
      }
    }
  }

  #listEvents(
    filter: ModuleFilter,
    { position, startCheckpoint }: ReadFrom,
    after: EventCursor | undefined,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<EventPage> {
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
      return eventPage(frames, position, after, {
        endpoint: this.#parts.endpoint,
        queryEnd: this.#parts.queryEnd,
      });
    });
  }

  checkpoints(signal: AbortSignal): AsyncIterable<bigint> {
    const observe = (headers: ResponseHeaders) => void this.#observe(headers);
    return subscribeCheckpoints({ ...this.#parts, closing: this.#closing.signal, observe }, signal);
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

  #ask<T>(
    what: string,
    signal: AbortSignal | undefined,
    send: (abort: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return request(this.#limits, what, signal, send);
  }

  /** What the errors of the client mean. */
  #translate(error: unknown, what: string): Error | undefined {
    if (!this.#parts.isRpcError(error)) return undefined;
    const message = `${this.#parts.endpoint}: ${what}: ${error.code}: ` +
      error.message.slice(0, 300);
    if (error.code === "OUT_OF_RANGE") {
      return new LedgerHistoryPruned(message, {
        cause: error,
        hint: "use an endpoint that keeps older history",
      });
    }
    return REFUSED.has(error.code)
      ? new LedgerProtocolError(message, { cause: error })
      : new LedgerUnavailable(message, { cause: error });
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
}

function beginning({ checkpoint }: EventStart): ReadFrom {
  const before = checkpoint === undefined || checkpoint === 0n ? 0n : checkpoint - 1n;
  return {
    position: { checkpoint: before, event: undefined, token: undefined },
    startCheckpoint: checkpoint,
  };
}

function isTooLarge(error: unknown): boolean {
  return error instanceof LedgerUnavailable && error.message.includes(ANSWER_TOO_LARGE);
}
