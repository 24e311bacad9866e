/**
 * What Sui's GraphQL RPC of mid-2026 answers, over the stand-in chain: real GraphQL (parsed, checked
 * against the schema and executed by the `graphql` package), with the limits, the pagination and the
 * error codes of the real service. All fields of one request are answered at one checkpoint. Events
 * below what is retained are left out without a word, as there.
 */
import {
  buildSchema,
  type DocumentNode,
  execute,
  type FormattedExecutionResult,
  GraphQLError,
  type GraphQLSchema,
  Kind,
  parse,
  validate,
} from "graphql";
import { canonicalAddress, canonicalType } from "../../../sui/address.ts";
import type { FakeChain, FakeObject } from "./chain.ts";
import { type Fault, find } from "./faults.ts";
import { eventConnection, type EventsArguments } from "./graphql_events.ts";
import { SCHEMA } from "./graphql_schema.ts";
import { checkpoint, refused } from "./graphql_values.ts";
import { REFERENCE_GAS_PRICE, seenObject, servedCheckpoint } from "./node.ts";

/** Limits of the real service, as it is configured by default. */
const MAX_REQUEST_BYTES = 5_000;
const MAX_KEYS = 200;
const MAX_PAGE_SIZE = 50;

/** What a client may have sent: GraphQL over HTTP. */
export interface GraphqlRequest {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>> | undefined;
  readonly operationName: string | undefined;
  /** Of the whole request body. */
  readonly bytes: number;
}

/** Root fields and the gRPC methods that they stand for, so that a fault's `method` hits both. */
const METHODS: Readonly<Record<string, string>> = {
  multiGetObjects: "BatchGetObjects",
  events: "ListEvents",
  verifyZkLoginSignature: "VerifySignature",
  address: "ListOwnedObjects",
  epoch: "GetEpoch",
};

const MAX_DOCUMENTS = 100;

export class FakeGraphql {
  readonly #chain: FakeChain;
  readonly #schema: GraphQLSchema = buildSchema(SCHEMA);
  readonly #documents = new Map<string, DocumentNode | readonly GraphQLError[]>();

  constructor(chain: FakeChain) {
    this.#chain = chain;
  }

  /** The gRPC method that asks for the same. */
  method({ query }: GraphqlRequest): string {
    const document = this.#document(query);
    if (isErrors(document)) return "GraphQL";
    const fields = document.definitions.flatMap((definition) =>
      definition.kind === Kind.OPERATION_DEFINITION ? definition.selectionSet.selections : []
    ).flatMap((field) => field.kind === Kind.FIELD ? [field.name.value] : []);
    return fields.map((name) => METHODS[name]).find((method) => method !== undefined) ??
      "GetServiceInfo";
  }

  async answer(
    request: GraphqlRequest,
    faults: readonly Fault[],
  ): Promise<FormattedExecutionResult> {
    if (request.bytes > MAX_REQUEST_BYTES) {
      const words = `Request of ${request.bytes} bytes exceeds max of ${MAX_REQUEST_BYTES}`;
      return { errors: [refused("GRAPHQL_VALIDATION_FAILED", words).toJSON()] };
    }
    const document = this.#document(request.query);
    if (isErrors(document)) return { errors: document.map((error) => error.toJSON()) };
    const forced = find(faults, "grpc_status");
    if (forced !== undefined) {
      const error = refused(codeOf(forced.code), forced.message ?? "as told");
      return { data: null, errors: [error.toJSON()] };
    }
    const { data, errors } = await execute({
      schema: this.#schema,
      document,
      rootValue: root(this.#chain, faults),
      variableValues: request.variables ?? {},
      operationName: request.operationName ?? null,
    });
    const codes = errors?.map((error) =>
      "code" in error.extensions ? error.toJSON() : {
        ...error.toJSON(),
        // What the framework itself refuses is a bad request.
        extensions: { code: error.path === undefined ? "BAD_USER_INPUT" : "INTERNAL_SERVER_ERROR" },
      }
    );
    const omitted = new Set([
      ...find(faults, "omit_fields")?.fields ?? [],
      ...find(faults, "no_query_end") === undefined ? [] : ["pageInfo"],
    ]);
    return {
      data: data === undefined || data === null || omitted.size === 0
        ? data ?? null
        : JSON.parse(JSON.stringify(data, (key, value) => omitted.has(key) ? undefined : value)),
      ...(codes === undefined ? {} : { errors: codes }),
    };
  }

  #document(query: string): DocumentNode | readonly GraphQLError[] {
    const known = this.#documents.get(query);
    if (known !== undefined) return known;
    const made = this.#parse(query);
    if (this.#documents.size >= MAX_DOCUMENTS) this.#documents.clear();
    this.#documents.set(query, made);
    return made;
  }

  #parse(query: string): DocumentNode | readonly GraphQLError[] {
    let document: DocumentNode;
    try {
      document = parse(query);
    } catch (error) {
      return [refused("GRAPHQL_PARSE_FAILED", error instanceof Error ? error.message : "")];
    }
    const errors = validate(this.#schema, document);
    return errors.length === 0
      ? document
      : errors.map(({ message }) => refused("GRAPHQL_VALIDATION_FAILED", message));
  }
}

function isErrors(
  document: DocumentNode | readonly GraphQLError[],
): document is readonly GraphQLError[] {
  return Array.isArray(document);
}

/** What the service says where a full node would answer with that gRPC status. */
function codeOf(status: number): string {
  if (status === 3 || status === 5) return "BAD_USER_INPUT";
  if (status === 4) return "REQUEST_TIMEOUT";
  return status === 12 ? "FEATURE_UNAVAILABLE" : "INTERNAL_SERVER_ERROR";
}

function root(chain: FakeChain, faults: readonly Fault[]) {
  const served = servedCheckpoint(chain, faults);
  return {
    chainIdentifier: find(faults, "other_chain")?.chainId ?? chain.chainId,
    checkpoint: ({ sequenceNumber }: { sequenceNumber?: number }) =>
      checkpoint(chain, sequenceNumber === undefined ? served : uint53(sequenceNumber), served),
    epoch: { referenceGasPrice: String(REFERENCE_GAS_PRICE) },
    multiGetObjects: ({ keys }: { keys: readonly { address: string }[] }) => {
      if (keys.length > MAX_KEYS) {
        throw refused("BAD_USER_INPUT", `Too many keys: ${keys.length}, max ${MAX_KEYS}`);
      }
      return keys.map(({ address: id }) => {
        const object = seenObject(chain, address("keys.address", id), faults);
        return object === undefined ? null : anyObject(object);
      });
    },
    address: ({ address: given }: { address?: string }) => {
      const owner = address("address", given ?? "");
      return {
        address: owner,
        objects: ({ first = 20, after, filter }: ObjectsArguments) => {
          limit(first);
          if (after !== undefined) throw refused("FEATURE_UNAVAILABLE", "one page only");
          const wanted = filter?.type === undefined ? undefined : canonicalType(filter.type);
          const owned = chain.owned(owner)
            .filter(({ type }) => wanted === undefined || type === wanted);
          return {
            nodes: owned.slice(0, first).map(moveObject),
            pageInfo: {
              hasNextPage: owned.length > first,
              hasPreviousPage: false,
              startCursor: null,
              endCursor: null,
            },
          };
        },
      };
    },
    events: (args: EventsArguments) => {
      limit(args.first ?? 20);
      return eventConnection(chain, args, faults);
    },
    serviceConfig: {
      availableRange: () => ({
        first: checkpoint(chain, chain.lowest, served),
        last: checkpoint(chain, served, served),
      }),
    },
    verifyZkLoginSignature: (
      { bytes, signature, intentScope, author }: ZkLoginArguments,
    ) => {
      if (intentScope !== "PERSONAL_MESSAGE") {
        throw refused("FEATURE_UNAVAILABLE", "this stand-in knows PERSONAL_MESSAGE");
      }
      const known = chain.zkLogin.get(signature);
      const message = Uint8Array.fromBase64(bytes).toHex();
      if (
        known?.address !== address("author", author) ||
        Uint8Array.from(known.message).toHex() !== message
      ) throw refused("BAD_USER_INPUT", "Verification failed: the proof does not verify");
      return { success: true };
    },
  };
}

interface ObjectsArguments {
  readonly first?: number;
  readonly after?: string;
  readonly filter?: { readonly type?: string };
}

interface ZkLoginArguments {
  readonly bytes: string;
  readonly signature: string;
  readonly intentScope: string;
  readonly author: string;
}

function anyObject(object: FakeObject) {
  return { ...moveObject(object), asMoveObject: moveObject(object), asMovePackage: null };
}

function moveObject(object: FakeObject) {
  return {
    address: object.id,
    digest: object.digest,
    version: Number(object.version),
    contents: {
      type: { repr: object.type },
      bcs: object.contents.toBase64(),
      json: null,
      display: null,
    },
    objectBcs: () => {
      throw refused("FEATURE_UNAVAILABLE", "this stand-in makes no objectBcs");
    },
    owner: owner(object),
    previousTransaction: { digest: object.previousTransaction },
  };
}

function owner({ owner }: FakeObject) {
  switch (owner.kind) {
    case "address":
      return { __typename: "AddressOwner", address: { address: owner.address } };
    case "object":
      return { __typename: "ObjectOwner", address: { address: owner.id } };
    case "shared":
      return { __typename: "Shared", initialSharedVersion: Number(owner.initialVersion) };
    case "immutable":
      return { __typename: "Immutable" };
  }
}

function address(field: string, text: string): string {
  const canonical = canonicalAddress(text);
  if (canonical === undefined) throw refused("BAD_USER_INPUT", `${field}: invalid address`);
  return canonical;
}

function uint53(value: unknown): bigint {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw refused("BAD_USER_INPUT", "expected an unsigned integer below 2^53");
  }
  return BigInt(value);
}

function limit(first: number): void {
  if (first <= MAX_PAGE_SIZE) return;
  throw refused(
    "BAD_USER_INPUT",
    `Page size of ${first} exceeds max of ${MAX_PAGE_SIZE} for connection`,
  );
}
