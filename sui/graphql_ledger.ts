/**
 * The ledger over Sui's GraphQL RPC: usually another operator's indexer, and so a second opinion
 * beside a full node. Reads only; transactions are not handed in here.
 */
import { readBatched } from "./batched_object.ts";
import {
  type ChainClient,
  type ChainClientOptions,
  CLIENT_DEFAULTS,
  httpEndpoint,
  type ObjectAnswer,
} from "./chain_client.ts";
import { type FieldName, readDynamicField } from "./dynamic_field.ts";
import { createFieldIds, type FieldIdOf } from "./dynamic_field_id.ts";
import type { ModuleFilter } from "./event_page.ts";
import {
  decodeEvents,
  decodeObject,
  decodeObjects,
  decodeStatus,
  decodeZkLogin,
  type EventsAnswer,
  type Viewed,
} from "./graphql_decode.ts";
import { type EventsQuestion, GraphqlEvents } from "./graphql_events.ts";
import { EVENTS_QUERY, OBJECTS_QUERY, STATUS_QUERY, ZKLOGIN_QUERY } from "./graphql_queries.ts";
import {
  type GraphqlAnswer,
  type GraphqlEndpoint,
  postQuery,
  refusal,
} from "./graphql_transport.ts";
import {
  type EventCursor,
  type EventPage,
  type EventStart,
  type LedgerObject,
  type LedgerObservation,
  LedgerProtocolError,
  type LedgerStatus,
} from "./ledger.ts";
import { ObjectBatcher } from "./object_batcher.ts";
import { request, type RequestLimits } from "./request.ts";
import type { ZkLoginVerifier } from "./wallet_signature.ts";

/** `endpoint`: the full URL of the service, path included: `https://host/graphql`. */
export type GraphqlLedgerOptions = ChainClientOptions;

/** As many keys as fit into a request of 5000 bytes, which is what a server takes by default. */
const MAX_BATCH = 40;

/**
 * Opens the ledger. Asks nothing of the server yet.
 *
 * @throws {TypeError} when the endpoint is no http(s) URL
 */
export async function openGraphqlLedger(options: GraphqlLedgerOptions): Promise<ChainClient> {
  const url = httpEndpoint(options.endpoint);
  const { fetch: send = fetch, chainId, ...given } = options;
  const { timeoutMs, maxAnswerBytes, maxInFlight } = { ...CLIENT_DEFAULTS, ...given };
  const { bcs } = await import("@mysten/sui/bcs");
  return new GraphqlLedger({
    server: { url: url.href, maxAnswerBytes, fetch: send },
    endpoint: url.host,
    chainId,
    timeoutMs,
    maxInFlight,
    fieldId: createFieldIds((type) => bcs.TypeTag.serialize(type).toBytes()),
  });
}

interface Parts {
  readonly server: GraphqlEndpoint;
  readonly endpoint: string;
  readonly chainId: string | undefined;
  readonly timeoutMs: number;
  readonly maxInFlight: number;
  readonly fieldId: FieldIdOf;
}

class GraphqlLedger implements ChainClient {
  readonly #parts: Parts;
  readonly #batcher: ObjectBatcher<ObjectAnswer>;
  readonly #events: GraphqlEvents;
  readonly #closing = new AbortController();
  readonly #limits: RequestLimits;
  #chainId: string | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#chainId = parts.chainId;
    this.#events = new GraphqlEvents(parts.endpoint);
    this.#limits = {
      endpoint: parts.endpoint,
      timeoutMs: parts.timeoutMs,
      closing: this.#closing.signal,
      translate: () => undefined,
    };
    this.#batcher = new ObjectBatcher({
      read: (ids) => this.#readObjects(ids),
      maxBatch: MAX_BATCH,
      maxInFlight: parts.maxInFlight,
      maxWaiting: 10_000,
    });
  }

  readonly zkLogin: ZkLoginVerifier = {
    verifyPersonalMessage: async (message, signature, author, signal) => {
      const bytes = Uint8Array.from(message).toBase64();
      const answer = await this.#ask("zkLogin", ZKLOGIN_QUERY, {
        bytes,
        signature,
        author,
      }, signal);
      if (answer.errors === undefined) {
        const { viewed, success } = decodeZkLogin(answer.data);
        this.#observe(viewed);
        return success;
      }
      // The server says no to a signature by an error of that very field; any other says nothing.
      if (
        answer.errors.every(({ code, field }) =>
          code === "BAD_USER_INPUT" && field === "verifyZkLoginSignature"
        )
      ) return false;
      throw refusal(`${this.#parts.endpoint}: zkLogin`, answer.errors);
    },
  };

  async status(signal?: AbortSignal): Promise<LedgerStatus> {
    const { lowest, ...viewed } = decodeStatus(
      await this.#data("status", STATUS_QUERY, {}, signal),
    );
    this.#observe(viewed);
    return {
      chainId: viewed.chainId,
      checkpoint: viewed.checkpoint,
      checkpointTimestampMs: viewed.timestampMs,
      lowestCheckpoint: lowest,
    };
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
    const type = `${filter.packageId}::${filter.module}`;
    const { timeoutMs } = this.#limits;
    let late = false;
    const patience = setTimeout(() => late = true, timeoutMs);
    // Several requests to a page: each has its time, and so have all of them together.
    const whole = { ...this.#limits, timeoutMs: 3 * timeoutMs };
    try {
      return await request(whole, "events", signal, (abort) =>
        this.#events.page(
          (question) => this.#readEvents(type, question, abort),
          after,
          { limit, late: () => late },
        ));
    } finally {
      clearTimeout(patience);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("the ledger is closed"));
    return Promise.resolve();
  }

  async #readEvents(
    type: string,
    { afterCheckpoint, first, after }: EventsQuestion,
    signal: AbortSignal,
  ): Promise<EventsAnswer> {
    const data = await this.#data("events", EVENTS_QUERY, {
      type,
      first,
      ...(afterCheckpoint === undefined ? {} : { afterCheckpoint: Number(afterCheckpoint) }),
      ...(after === undefined ? {} : { after }),
    }, signal);
    const answer = decodeEvents(data);
    this.#observe(answer.viewed);
    return answer;
  }

  async #readObjects(ids: readonly string[]): Promise<readonly ObjectAnswer[]> {
    const { viewed, objects } = decodeObjects(
      await this.#data("objects", OBJECTS_QUERY, {
        keys: ids.map((address) => ({ address })),
      }, undefined),
      ids.length,
    );
    const observed = this.#observe(viewed);
    return ids.map((id, i): ObjectAnswer => {
      const object = objects[i];
      if (object === null) return { object: undefined };
      try {
        return { object: decodeObject(id, object, observed) };
      } catch (error) {
        if (error instanceof LedgerProtocolError) return { error };
        throw error;
      }
    });
  }

  /** @throws {LedgerProtocolError} @throws {LedgerUnavailable} also for any error in the answer */
  async #data(
    what: string,
    query: string,
    variables: Readonly<Record<string, unknown>>,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const answer = await this.#ask(what, query, variables, signal);
    if (answer.errors !== undefined) {
      throw refusal(`${this.#parts.endpoint}: ${what}`, answer.errors);
    }
    return answer.data;
  }

  #ask(
    what: string,
    query: string,
    variables: Readonly<Record<string, unknown>>,
    signal: AbortSignal | undefined,
  ): Promise<GraphqlAnswer> {
    return request(
      this.#limits,
      what,
      signal,
      (abort) => postQuery(this.#parts.server, query, variables, abort),
    );
  }

  #observe({ chainId, checkpoint, timestampMs }: Viewed): LedgerObservation | undefined {
    this.#chainId ??= chainId;
    if (chainId !== this.#chainId) {
      throw new LedgerProtocolError(
        `${this.#parts.endpoint}: chain ${chainId}, expected ${this.#chainId}`,
        { hint: "the endpoint belongs to another Sui network" },
      );
    }
    return timestampMs === undefined ? undefined : { chainId, checkpoint, timestampMs };
  }
}
