/** The only decoder of what Sui's GraphQL RPC says: every field is checked, nothing is assumed. */
import * as v from "valibot";
import { canonicalAddress, canonicalType } from "./address.ts";
import { MAX_CONTENTS_BYTES } from "./bcs.ts";
import { decode } from "./graphql_transport.ts";
import {
  type LedgerEvent,
  type LedgerObject,
  type LedgerObservation,
  LedgerProtocolError,
} from "./ledger.ts";

const ZERO_ADDRESS = "0x" + "0".repeat(64);

const uint53 = v.pipe(
  v.number(),
  v.safeInteger(),
  v.minValue(0),
  v.transform((value) => BigInt(value)),
);
const digest = v.pipe(
  v.string(),
  v.regex(
    /^[1-9A-HJ-NP-Za-km-z]{32,44}$/,
    (issue) => `expected a base58 digest, got ${issue.received.slice(0, 100)}`,
  ),
);
const address = v.pipe(
  v.string(),
  v.transform((text) => canonicalAddress(text)),
  v.string("expected 0x and hex digits"),
);
const moveType = v.pipe(
  v.string(),
  v.transform((text) => canonicalType(text)),
  v.string("expected a Move type"),
);
/** RFC 3339 in UTC, to milliseconds since the epoch. */
const dateTime = v.pipe(
  v.string(),
  v.regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z$/, "expected a time in UTC"),
  v.transform((text) => Date.parse(text)),
  v.safeInteger("expected a time in UTC"),
);
const bytes = v.pipe(
  v.string(),
  v.maxLength(Math.ceil(MAX_CONTENTS_BYTES / 3) * 4, `more than ${MAX_CONTENTS_BYTES} bytes`),
  v.rawTransform(({ dataset, addIssue, NEVER }): Uint8Array<ArrayBuffer> => {
    try {
      return Uint8Array.fromBase64(dataset.value);
    } catch {
      addIssue({ message: "expected base64" });
      return NEVER;
    }
  }),
);

const Addressed = v.strictObject({ address });
const Contents = v.strictObject({ type: v.strictObject({ repr: moveType }), bcs: bytes });

const observed = {
  chainIdentifier: digest,
  checkpoint: v.strictObject({ sequenceNumber: uint53, timestamp: v.nullable(dateTime) }),
};
const retained = {
  serviceConfig: v.strictObject({
    availableRange: v.strictObject({
      first: v.nullable(v.strictObject({ sequenceNumber: uint53 })),
    }),
  }),
};

/** Where the server stood when it answered. */
export interface Viewed {
  readonly chainId: string;
  readonly checkpoint: bigint;
  /** Undefined where it does not date the checkpoint. */
  readonly timestampMs: number | undefined;
}

function viewed(
  { chainIdentifier, checkpoint }: v.InferOutput<typeof Observed>,
): Viewed {
  return {
    chainId: chainIdentifier,
    checkpoint: checkpoint.sequenceNumber,
    timestampMs: checkpoint.timestamp ?? undefined,
  };
}

const Observed = v.object(observed);
const Status = v.strictObject({ ...observed, ...retained });

/** @throws {LedgerProtocolError} naming the field */
export function decodeStatus(data: unknown): Viewed & { readonly lowest: bigint | undefined } {
  const status = decode("status", Status, data);
  return {
    ...viewed(status),
    lowest: status.serviceConfig.availableRange.first?.sequenceNumber,
  };
}

const Owner = v.variant("__typename", [
  v.strictObject({ __typename: v.literal("AddressOwner"), address: Addressed }),
  v.strictObject({ __typename: v.literal("ObjectOwner"), address: Addressed }),
  v.strictObject({ __typename: v.literal("Shared"), initialSharedVersion: uint53 }),
  v.strictObject({ __typename: v.literal("Immutable") }),
  v.strictObject({ __typename: v.literal("ConsensusAddressOwner"), address: Addressed }),
]);

const Objects = v.strictObject({ ...observed, multiGetObjects: v.array(v.unknown()) });

const OneObject = v.strictObject({
  address,
  version: v.pipe(uint53, v.minValue(1n)),
  digest,
  asMovePackage: v.nullable(v.strictObject({ __typename: v.literal("MovePackage") })),
  asMoveObject: v.nullable(v.strictObject({ contents: Contents })),
  owner: Owner,
});

/**
 * The answers as they came, `null` for what is not live, and where the server stood.
 *
 * @throws {LedgerProtocolError} when there are not `count` of them
 */
export function decodeObjects(
  data: unknown,
  count: number,
): { readonly viewed: Viewed; readonly objects: readonly unknown[] } {
  const answer = decode("objects", Objects, data);
  const { length } = answer.multiGetObjects;
  if (length !== count) {
    throw new LedgerProtocolError(`multiGetObjects: asked for ${count} objects, got ${length}`);
  }
  return { viewed: viewed(answer), objects: answer.multiGetObjects };
}

/**
 * @param id what was asked for; an answer for another object is refused
 * @throws {LedgerProtocolError} naming the field
 */
export function decodeObject(
  id: string,
  json: unknown,
  observed: LedgerObservation | undefined,
): LedgerObject {
  const object = decode("object", OneObject, json);
  if (object.address !== id) {
    throw new LedgerProtocolError(`object.address: asked for ${id}, got ${object.address}`);
  }
  const { asMoveObject, asMovePackage } = object;
  if ((asMoveObject === null) === (asMovePackage === null)) {
    throw new LedgerProtocolError(`object ${id}: neither a Move object nor a package, or both`);
  }
  return {
    id,
    version: object.version,
    digest: object.digest,
    // Packages have no struct tag; a token's id may well name one.
    type: asMoveObject?.contents.type.repr ?? "package",
    owner: holder(object.owner),
    contents: asMoveObject?.contents.bcs ?? new Uint8Array(),
    observed,
  };
}

function holder(owner: v.InferOutput<typeof Owner>): LedgerObject["owner"] {
  switch (owner.__typename) {
    case "AddressOwner":
      return { kind: "address", address: owner.address.address };
    case "ObjectOwner":
      return { kind: "object", id: owner.address.address };
    case "Shared":
      return { kind: "shared", initialVersion: owner.initialSharedVersion };
    case "Immutable":
      return { kind: "immutable" };
    case "ConsensusAddressOwner":
      return { kind: "consensus_address", address: owner.address.address };
  }
}

const Events = v.strictObject({
  ...observed,
  ...retained,
  events: v.strictObject({
    pageInfo: v.strictObject({ hasNextPage: v.boolean(), endCursor: v.nullable(v.string()) }),
    edges: v.array(v.strictObject({
      cursor: v.string(),
      node: v.strictObject({
        sequenceNumber: v.pipe(uint53, v.maxValue(0xffff_ffffn)),
        // Nobody signs what the system itself does.
        sender: v.nullable(Addressed),
        transaction: v.strictObject({
          digest,
          effects: v.strictObject({ checkpoint: v.strictObject({ sequenceNumber: uint53 }) }),
        }),
        transactionModule: v.strictObject({
          name: v.string(),
          package: Addressed,
        }),
        contents: Contents,
      }),
    })),
  }),
});

/** An event without its cursor, and the server's own cursor of it. */
export interface ServedEvent extends Omit<LedgerEvent, "cursor"> {
  readonly serverCursor: string;
}

export interface EventsAnswer {
  readonly viewed: Viewed;
  /** Lowest checkpoint whose events the server still has; undefined where it does not say. */
  readonly lowest: bigint | undefined;
  readonly events: readonly ServedEvent[];
  readonly hasNextPage: boolean;
  readonly endCursor: string | undefined;
}

/** @throws {LedgerProtocolError} naming the field */
export function decodeEvents(data: unknown): EventsAnswer {
  const answer = decode("events", Events, data);
  const { pageInfo, edges } = answer.events;
  return {
    viewed: viewed(answer),
    lowest: answer.serviceConfig.availableRange.first?.sequenceNumber,
    hasNextPage: pageInfo.hasNextPage,
    endCursor: pageInfo.endCursor ?? undefined,
    events: edges.map(({ cursor, node }) => ({
      transactionDigest: node.transaction.digest,
      eventIndex: Number(node.sequenceNumber),
      checkpoint: node.transaction.effects.checkpoint.sequenceNumber,
      timestampMs: undefined,
      packageId: node.transactionModule.package.address,
      module: node.transactionModule.name,
      type: node.contents.type.repr,
      sender: node.sender?.address ?? ZERO_ADDRESS,
      contents: node.contents.bcs,
      serverCursor: cursor,
    })),
  };
}

const ZkLogin = v.strictObject({
  ...observed,
  verifyZkLoginSignature: v.strictObject({ success: v.boolean() }),
});

/** @throws {LedgerProtocolError} naming the field */
export function decodeZkLogin(
  data: unknown,
): { readonly viewed: Viewed; readonly success: boolean } {
  const answer = decode("zkLogin", ZkLogin, data);
  return { viewed: viewed(answer), success: answer.verifyZkLoginSignature.success };
}
