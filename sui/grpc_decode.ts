/** The only decoder of a full node's gRPC messages: every field is checked, nothing is assumed. */
import type { GrpcTypes } from "@mysten/sui/grpc";
import { canonicalAddress, canonicalType } from "./address.ts";
import { MAX_CONTENTS_BYTES } from "./bcs.ts";
import {
  type LedgerEvent,
  type LedgerObject,
  type LedgerObservation,
  LedgerProtocolError,
  type LedgerStatus,
} from "./ledger.ts";

const BASE58_DIGEST = /^[1-9A-HJ-NP-Za-km-z]{32,44}$/;

/** Field paths asked for with every object. */
export const OBJECT_READ_MASK: readonly string[] = [
  "object_id",
  "version",
  "digest",
  "owner",
  "object_type",
  "contents",
];

/** Field paths asked for with every event. */
export const EVENT_READ_MASK: readonly string[] = [
  "package_id",
  "module",
  "sender",
  "event_type",
  "contents",
  "checkpoint",
  "transaction_digest",
  "transaction_index",
  "event_index",
];

/** @throws {LedgerProtocolError} naming the field */
export function decodeStatus(info: GrpcTypes.GetServiceInfoResponse): LedgerStatus {
  const { timestamp } = info;
  return {
    chainId: digest("GetServiceInfo.chain_id", info.chainId),
    checkpoint: required("GetServiceInfo.checkpoint_height", info.checkpointHeight),
    checkpointTimestampMs: timestamp === undefined
      ? undefined
      : Number(timestamp.seconds) * 1000 + Math.floor(timestamp.nanos / 1_000_000),
    lowestCheckpoint: info.lowestAvailableCheckpoint,
  };
}

/** Field paths asked for with every checkpoint that is made known. */
export const CHECKPOINT_READ_MASK: readonly string[] = ["sequence_number"];

/** @throws {LedgerProtocolError} naming the field */
export function decodeAnnouncement(message: GrpcTypes.SubscribeCheckpointsResponse): bigint {
  return required("SubscribeCheckpoints.cursor", message.cursor);
}

/**
 * @param id what was asked for; an answer for another object is refused
 * @throws {LedgerProtocolError} naming the field
 */
export function decodeObject(
  id: string,
  object: GrpcTypes.Object,
  observed: LedgerObservation | undefined,
): LedgerObject {
  const answered = address("object.object_id", object.objectId);
  if (answered !== id) {
    throw new LedgerProtocolError(`object.object_id: asked for ${id}, got ${answered}`);
  }
  const version = required("object.version", object.version);
  if (version === 0n) throw new LedgerProtocolError("object.version: 0");
  return {
    id,
    version,
    digest: digest("object.digest", object.digest),
    type: type("object.object_type", object.objectType),
    owner: decodeOwner(object.owner),
    contents: contents("object.contents", object.contents),
    observed,
  };
}

/** Values of `sui.rpc.v2.Owner.OwnerKind`; numbers, so that the client need not be loaded here. */
const OWNER = { ADDRESS: 1, OBJECT: 2, SHARED: 3, IMMUTABLE: 4, CONSENSUS_ADDRESS: 5 } as const;

function decodeOwner(owner: GrpcTypes.Owner | undefined): LedgerObject["owner"] {
  const kind: number | undefined = owner?.kind;
  switch (kind) {
    case OWNER.ADDRESS:
      return { kind: "address", address: address("object.owner.address", owner?.address) };
    case OWNER.OBJECT:
      return { kind: "object", id: address("object.owner.address", owner?.address) };
    case OWNER.SHARED:
      return {
        kind: "shared",
        initialVersion: required("object.owner.version", owner?.version),
      };
    case OWNER.IMMUTABLE:
      return { kind: "immutable" };
    case OWNER.CONSENSUS_ADDRESS:
      return {
        kind: "consensus_address",
        address: address("object.owner.address", owner?.address),
      };
    default:
      throw new LedgerProtocolError(`object.owner.kind: expected 1 to 5, got ${kind}`);
  }
}

/** An event without its cursor, and its place within the checkpoint. */
export interface PlacedEvent extends Omit<LedgerEvent, "cursor"> {
  readonly transactionIndex: bigint;
}

/** @throws {LedgerProtocolError} naming the field */
export function decodeEvent(event: GrpcTypes.Event): PlacedEvent {
  return {
    transactionDigest: digest("event.transaction_digest", event.transactionDigest),
    eventIndex: required("event.event_index", event.eventIndex),
    transactionIndex: required("event.transaction_index", event.transactionIndex),
    checkpoint: required("event.checkpoint", event.checkpoint),
    timestampMs: undefined,
    packageId: address("event.package_id", event.packageId),
    module: required("event.module", event.module),
    type: type("event.event_type", event.eventType),
    sender: address("event.sender", event.sender),
    contents: contents("event.contents", event.contents),
  };
}

function required<T>(field: string, value: T | undefined): T {
  if (value === undefined) throw new LedgerProtocolError(`${field}: missing`);
  return value;
}

function address(field: string, value: string | undefined): string {
  const canonical = canonicalAddress(required(field, value));
  if (canonical === undefined) throw new LedgerProtocolError(`${field}: ${shown(value)}`);
  return canonical;
}

function type(field: string, value: string | undefined): string {
  const text = required(field, value);
  // Packages have no struct tag; a token's id may well name one.
  if (text === "package") return text;
  const canonical = canonicalType(text);
  if (canonical === undefined) throw new LedgerProtocolError(`${field}: ${shown(value)}`);
  return canonical;
}

function digest(field: string, value: string | undefined): string {
  const text = required(field, value);
  if (!BASE58_DIGEST.test(text)) {
    throw new LedgerProtocolError(`${field}: expected a base58 digest, got ${shown(value)}`);
  }
  return text;
}

function contents(field: string, value: GrpcTypes.Bcs | undefined): Uint8Array<ArrayBuffer> {
  // Packages carry none; protobuf leaves empty bytes out.
  const bytes = value?.value ?? new Uint8Array();
  if (bytes.length > MAX_CONTENTS_BYTES) {
    throw new LedgerProtocolError(`${field}: ${bytes.length} bytes, over ${MAX_CONTENTS_BYTES}`);
  }
  return bytes.slice();
}

function shown(value: string | undefined): string {
  return JSON.stringify(value?.slice(0, 100));
}
