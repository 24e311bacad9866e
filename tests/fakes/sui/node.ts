/**
 * What a Sui full node of mid-2026 answers to `sui.rpc.v2.LedgerService` (and to `VerifySignature` of
 * `SignatureVerificationService`), over the stand-in chain.
 * Requests are checked as a real node checks them: ids, read masks, filters, cursors and ranges
 * that it would refuse are refused here with the same gRPC status.
 */
import { bcs } from "@mysten/bcs";
import { GrpcTypes } from "@mysten/sui/grpc";
import { canonicalAddress, canonicalType } from "../../../sui/address.ts";
import type { FakeChain, FakeEvent, FakeObject } from "./chain.ts";
import { type Fault, find } from "./faults.ts";

/** A refusal with its gRPC status code. */
export class GrpcStatus extends Error {
  override readonly name = "GrpcStatus";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const OUT_OF_RANGE = 11;
const UNIMPLEMENTED = 12;

/** MIST for a unit of computation. */
export const REFERENCE_GAS_PRICE = 1_000n;

const DEFAULT_EVENTS = 100;
const MAX_EVENTS = 1000;

export interface NodeOptions {
  /** Events looked at per ListEvents before it stops with SCAN_LIMIT. Default: no such limit. */
  readonly scanLimit?: number;
}

/** One encoded response message, or several for a stream. */
export function answer(
  chain: FakeChain,
  method: string,
  request: Uint8Array,
  faults: readonly Fault[],
  options: NodeOptions = {},
): Uint8Array[] {
  switch (method) {
    case "GetServiceInfo":
      GrpcTypes.GetServiceInfoRequest.fromBinary(request);
      return [serviceInfo(chain, faults)];
    case "GetObject":
      return [getObject(chain, GrpcTypes.GetObjectRequest.fromBinary(request), faults)];
    case "BatchGetObjects":
      return [batchGetObjects(chain, GrpcTypes.BatchGetObjectsRequest.fromBinary(request), faults)];
    case "ListEvents":
      return listEvents(chain, GrpcTypes.ListEventsRequest.fromBinary(request), faults, options);
    case "GetEpoch":
      return [
        GrpcTypes.GetEpochResponse.toBinary({
          epoch: { epoch: 1n, referenceGasPrice: REFERENCE_GAS_PRICE },
        }),
      ];
    case "ListOwnedObjects":
      return [listOwned(chain, GrpcTypes.ListOwnedObjectsRequest.fromBinary(request))];
    case "VerifySignature":
      return [verifySignature(chain, GrpcTypes.VerifySignatureRequest.fromBinary(request))];
    default:
      throw new GrpcStatus(UNIMPLEMENTED, `method ${method} is not served by this stand-in`);
  }
}

/** The checkpoint this answer is made at: the tip, or behind it when told to lag. */
export function servedCheckpoint(chain: FakeChain, faults: readonly Fault[]): bigint {
  const lag = BigInt(find(faults, "lag")?.checkpoints ?? 0);
  return chain.tip.sequence > lag ? chain.tip.sequence - lag : 0n;
}

/** The informational headers a full node puts on every answer. */
export function infoHeaders(
  chain: FakeChain,
  faults: readonly Fault[],
): Record<string, string> {
  const checkpoint = servedCheckpoint(chain, faults);
  return {
    "x-sui-chain-id": find(faults, "other_chain")?.chainId ?? chain.chainId,
    "x-sui-chain": chain.name,
    "x-sui-checkpoint-height": String(checkpoint),
    "x-sui-timestamp-ms": String(chain.checkpointAt(checkpoint)?.timestampMs ?? 0),
    "x-sui-lowest-available-checkpoint": String(chain.lowest),
  };
}

function serviceInfo(chain: FakeChain, faults: readonly Fault[]): Uint8Array {
  const checkpoint = servedCheckpoint(chain, faults);
  const timestampMs = chain.checkpointAt(checkpoint)?.timestampMs ?? 0;
  const info: GrpcTypes.GetServiceInfoResponse = {
    chainId: find(faults, "other_chain")?.chainId ?? chain.chainId,
    chain: chain.name,
    epoch: 0n,
    checkpointHeight: checkpoint,
    timestamp: {
      seconds: BigInt(Math.floor(timestampMs / 1000)),
      nanos: (timestampMs % 1000) * 1_000_000,
    },
    lowestAvailableCheckpoint: chain.lowest,
    lowestAvailableCheckpointObjects: chain.lowest,
    server: "sui-stand-in/1",
  };
  const omitted = find(faults, "omit_fields")?.fields ?? [];
  return GrpcTypes.GetServiceInfoResponse.toBinary(omit(info, omitted));
}

/** Knows the zkLogin signatures that the test put on the chain, and confirms nothing else. */
function verifySignature(
  chain: FakeChain,
  request: GrpcTypes.VerifySignatureRequest,
): Uint8Array {
  const signature = request.signature?.bcs?.value;
  if (signature === undefined) throw new GrpcStatus(INVALID_ARGUMENT, "signature: missing");
  if (request.message?.name !== "PersonalMessage") {
    throw new GrpcStatus(INVALID_ARGUMENT, "message.name: this stand-in knows PersonalMessage");
  }
  const known = chain.zkLogin.get(Uint8Array.from(signature).toBase64());
  const given = request.message.value ?? new Uint8Array();
  const isValid = known !== undefined && known.address === request.address &&
    Uint8Array.from(given).toHex() ===
      bcs.byteVector().serialize(known.message).toBytes().toHex();
  return GrpcTypes.VerifySignatureResponse.toBinary(
    isValid ? { isValid } : { isValid, reason: "the proof does not verify" },
  );
}

const OBJECT_PATHS = new Set([
  "*",
  "bcs",
  "object_id",
  "version",
  "digest",
  "owner",
  "object_type",
  "has_public_transfer",
  "contents",
  "package",
  "previous_transaction",
  "storage_rebate",
  "json",
  "balance",
  "display",
]);

function objectMask(mask: { paths: string[] } | undefined): Set<string> {
  const paths = mask?.paths ?? ["object_id", "version", "digest"];
  for (const path of paths) {
    if (!OBJECT_PATHS.has(path.split(".")[0] ?? "")) {
      throw new GrpcStatus(INVALID_ARGUMENT, `invalid read_mask path: ${path}`);
    }
  }
  return new Set(paths.map((path) => path.split(".")[0] ?? ""));
}

function getObject(
  chain: FakeChain,
  request: GrpcTypes.GetObjectRequest,
  faults: readonly Fault[],
): Uint8Array {
  const mask = objectMask(request.readMask);
  const object = lookUp(chain, request, mask, faults);
  return GrpcTypes.GetObjectResponse.toBinary({ object });
}

function batchGetObjects(
  chain: FakeChain,
  request: GrpcTypes.BatchGetObjectsRequest,
  faults: readonly Fault[],
): Uint8Array {
  const mask = objectMask(request.readMask);
  const objects = request.requests.map((one): GrpcTypes.GetObjectResult => {
    if (one.readMask !== undefined) {
      throw new GrpcStatus(INVALID_ARGUMENT, "requests.read_mask: not allowed in a batch");
    }
    try {
      return {
        result: { oneofKind: "object", object: lookUp(chain, one, mask, faults) },
      };
    } catch (error) {
      if (!(error instanceof GrpcStatus) || error.status !== NOT_FOUND) throw error;
      return {
        result: {
          oneofKind: "error",
          error: { code: error.status, message: error.message, details: [] },
        },
      };
    }
  });
  return GrpcTypes.BatchGetObjectsResponse.toBinary({ objects });
}

function lookUp(
  chain: FakeChain,
  request: GrpcTypes.GetObjectRequest,
  mask: Set<string>,
  faults: readonly Fault[],
): GrpcTypes.Object {
  if (request.objectId === undefined) throw new GrpcStatus(INVALID_ARGUMENT, "object_id: missing");
  const id = canonicalAddress(request.objectId);
  if (id === undefined) throw new GrpcStatus(INVALID_ARGUMENT, "invalid object_id");
  const object = seenObject(chain, id, faults);
  if (object === undefined) throw new GrpcStatus(NOT_FOUND, `Object ${id} not found`);
  if (request.version !== undefined && request.version !== object.version) {
    throw new GrpcStatus(NOT_FOUND, `Object ${id} with version ${request.version} not found`);
  }
  const omitted = new Set(find(faults, "omit_fields")?.fields ?? []);
  return render(object, new Set([...mask].filter((path) => !omitted.has(path))));
}

/** What the node says the object is: at the checkpoint it serves, and with its lies. */
export function seenObject(
  chain: FakeChain,
  id: string,
  faults: readonly Fault[],
): FakeObject | undefined {
  if (faults.some((fault) => fault.kind === "hide_object" && fault.id === id)) return undefined;
  const asked = find(faults, "wrong_object")?.id ?? id;
  const object = chain.objectAt(asked, servedCheckpoint(chain, faults));
  const lie = find(faults, "lie_object");
  return object === undefined || lie?.id !== id ? object : lieAbout(object, lie);
}

function lieAbout(object: FakeObject, lie: Extract<Fault, { kind: "lie_object" }>): FakeObject {
  return {
    ...object,
    type: lie.type ?? object.type,
    version: lie.version === undefined ? object.version : BigInt(lie.version),
    digest: lie.digest ?? object.digest,
    owner: lie.ownerAddress === undefined
      ? object.owner
      : { kind: "address", address: lie.ownerAddress },
    contents: lie.contentsHex === undefined ? object.contents : Uint8Array.fromHex(lie.contentsHex),
  };
}

function render(object: FakeObject, mask: Set<string>): GrpcTypes.Object {
  const all = mask.has("*");
  const has = (path: string) => all || mask.has(path);
  return {
    ...(has("object_id") ? { objectId: object.id } : {}),
    ...(has("version") ? { version: object.version } : {}),
    ...(has("digest") ? { digest: object.digest } : {}),
    ...(has("owner") ? { owner: renderOwner(object) } : {}),
    ...(has("object_type") ? { objectType: object.type } : {}),
    ...(has("contents") ? { contents: { name: object.type, value: object.contents } } : {}),
    ...(has("previous_transaction") ? { previousTransaction: object.previousTransaction } : {}),
  };
}

function renderOwner({ owner }: FakeObject): GrpcTypes.Owner {
  switch (owner.kind) {
    case "address":
      return { kind: GrpcTypes.Owner_OwnerKind.ADDRESS, address: owner.address };
    case "object":
      return { kind: GrpcTypes.Owner_OwnerKind.OBJECT, address: owner.id };
    case "shared":
      return { kind: GrpcTypes.Owner_OwnerKind.SHARED, version: owner.initialVersion };
    case "immutable":
      return { kind: GrpcTypes.Owner_OwnerKind.IMMUTABLE };
  }
}

/** What the address owns, of one type, in one page. */
function listOwned(chain: FakeChain, request: GrpcTypes.ListOwnedObjectsRequest): Uint8Array {
  const owner = canonicalAddress(request.owner ?? "");
  if (owner === undefined) throw new GrpcStatus(INVALID_ARGUMENT, "invalid owner");
  if (request.pageToken !== undefined) throw new GrpcStatus(INVALID_ARGUMENT, "page_token");
  const wanted = request.objectType === undefined ? undefined : canonicalType(request.objectType);
  const objects = chain.owned(owner).filter(({ type }) => wanted === undefined || type === wanted)
    .slice(0, Math.min(request.pageSize || 50, 1000));
  const mask = objectMask(request.readMask);
  return GrpcTypes.ListOwnedObjectsResponse.toBinary({
    objects: objects.map((object) => render(object, mask)),
  });
}

const EVENT_PATHS = new Set([
  "*",
  "package_id",
  "module",
  "sender",
  "event_type",
  "contents",
  "json",
  "checkpoint",
  "transaction_digest",
  "transaction_index",
  "event_index",
]);

/** Position in the ledger; a boundary stands before the item at its position. */
interface Position {
  readonly kind: "item" | "boundary";
  readonly checkpoint: bigint;
  readonly transaction: bigint;
  readonly event: number;
}

function encodeCursor(position: Position): Uint8Array {
  const bytes = new Uint8Array(22);
  const view = new DataView(bytes.buffer);
  bytes[0] = 3;
  bytes[1] = position.kind === "item" ? 1 : 2;
  view.setBigUint64(2, position.checkpoint);
  view.setBigUint64(10, position.transaction);
  view.setUint32(18, position.event);
  return bytes;
}

function decodeCursor(field: string, bytes: Uint8Array | undefined): Position | undefined {
  if (bytes === undefined) return undefined;
  if (bytes.length !== 22 || bytes[0] !== 3 || (bytes[1] !== 1 && bytes[1] !== 2)) {
    throw new GrpcStatus(INVALID_ARGUMENT, `${field}: invalid cursor`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    kind: bytes[1] === 1 ? "item" : "boundary",
    checkpoint: view.getBigUint64(2),
    transaction: view.getBigUint64(10),
    event: view.getUint32(18),
  };
}

function listEvents(
  chain: FakeChain,
  request: GrpcTypes.ListEventsRequest,
  faults: readonly Fault[],
  options: NodeOptions,
): Uint8Array[] {
  const paths = request.readMask?.paths ?? ["transaction_digest", "event_index"];
  for (const path of paths) {
    if (!EVENT_PATHS.has(path.split(".")[0] ?? "")) {
      throw new GrpcStatus(INVALID_ARGUMENT, `invalid read_mask path: ${path}`);
    }
  }
  const mask = new Set(paths);
  if (request.options?.ordering === GrpcTypes.Ordering.DESCENDING) {
    throw new GrpcStatus(UNIMPLEMENTED, "this stand-in reads ascending only");
  }
  if (request.options?.before !== undefined) {
    throw new GrpcStatus(UNIMPLEMENTED, "this stand-in knows no options.before");
  }
  const after = decodeCursor("options.after", request.options?.after);
  const limit = Math.min(Math.max(request.options?.limit ?? DEFAULT_EVENTS, 1), MAX_EVENTS);
  const matches = compileFilter(request.filter);
  const tip = servedCheckpoint(chain, faults);
  const endCheckpoint = request.endCheckpoint ?? tip + 1n;
  const startCheckpoint = request.startCheckpoint ?? 0n;
  if (request.endCheckpoint !== undefined && endCheckpoint < startCheckpoint) {
    throw new GrpcStatus(INVALID_ARGUMENT, "end_checkpoint must not be below start_checkpoint");
  }
  // An explicit start below what is retained is refused; an open one begins where data begins.
  const explicit = after !== undefined || request.startCheckpoint !== undefined;
  const start = max(startCheckpoint, after?.checkpoint ?? 0n);
  if (explicit && start < chain.lowest) {
    throw new GrpcStatus(
      OUT_OF_RANGE,
      `requested data below earliest available; lowest available checkpoint is ${chain.lowest}`,
    );
  }
  const from = max(start, chain.lowest);
  const end = endCheckpoint < tip + 1n ? endCheckpoint : tip + 1n;
  const replay = find(faults, "replay_events") !== undefined;
  if (from >= end && after !== undefined && after.checkpoint >= end) {
    // Behind the caller: the bound is repeated, nothing is claimed.
    return [frame({
      watermark: { cursor: encodeCursor(after) },
      end: { reason: GrpcTypes.QueryEndReason.CURSOR_BOUND },
    })];
  }

  const frames: GrpcTypes.ListEventsResponse[] = [];
  let scanned = 0;
  let reason = request.endCheckpoint !== undefined && endCheckpoint <= tip
    ? GrpcTypes.QueryEndReason.CHECKPOINT_BOUND
    : GrpcTypes.QueryEndReason.LEDGER_TIP;
  let watermark: GrpcTypes.Watermark = {
    cursor: encodeCursor({
      kind: "boundary",
      checkpoint: end,
      transaction: chain.checkpointAt(end - 1n)?.totalTransactions ?? 0n,
      event: 0,
    }),
    checkpoint: end - 1n,
  };
  const replayFrom = replay ? chain.lowest : from;
  for (let i = firstEventAt(chain.events, replayFrom); i < chain.events.length; i++) {
    const event = chain.events[i];
    if (event === undefined || event.checkpoint >= end) break;
    if (!replay && after !== undefined && !isAfter(event, after)) continue;
    if (options.scanLimit !== undefined && scanned >= options.scanLimit) {
      reason = GrpcTypes.QueryEndReason.SCAN_LIMIT;
      watermark = itemWatermark(event, "boundary");
      break;
    }
    scanned++;
    if (!matches(event)) continue;
    frames.push({ event: renderEvent(event, mask), watermark: itemWatermark(event, "item") });
    if (frames.length === limit) {
      reason = GrpcTypes.QueryEndReason.ITEM_LIMIT;
      break;
    }
  }
  return finish(frames, watermark, reason, faults).map(frame);
}

function finish(
  frames: GrpcTypes.ListEventsResponse[],
  watermark: GrpcTypes.Watermark,
  reason: GrpcTypes.QueryEndReason,
  faults: readonly Fault[],
): GrpcTypes.ListEventsResponse[] {
  let out = frames;
  if (find(faults, "duplicate_events") !== undefined) out = out.flatMap((f) => [f, f]);
  if (find(faults, "reverse_events") !== undefined) out = out.toReversed();
  if (find(faults, "no_query_end") !== undefined) return out;
  const last = out.at(-1);
  if (reason === GrpcTypes.QueryEndReason.ITEM_LIMIT && last !== undefined) {
    return [...out.slice(0, -1), { ...last, end: { reason } }];
  }
  return [...out, { watermark, end: { reason } }];
}

function frame(response: GrpcTypes.ListEventsResponse): Uint8Array {
  return GrpcTypes.ListEventsResponse.toBinary(response);
}

function itemWatermark(event: FakeEvent, kind: "item" | "boundary"): GrpcTypes.Watermark {
  return {
    cursor: encodeCursor({
      kind,
      checkpoint: event.checkpoint,
      transaction: event.transactionSequence,
      event: event.eventIndex,
    }),
    ...(event.checkpoint > 0n ? { checkpoint: event.checkpoint - 1n } : {}),
  };
}

function isAfter(event: FakeEvent, cursor: Position): boolean {
  if (event.transactionSequence !== cursor.transaction) {
    return event.transactionSequence > cursor.transaction;
  }
  return cursor.kind === "item"
    ? event.eventIndex > cursor.event
    : event.eventIndex >= cursor.event;
}

function renderEvent(event: FakeEvent, mask: Set<string>): GrpcTypes.Event {
  const has = (path: string) => mask.has("*") || mask.has(path);
  return {
    ...(has("package_id") ? { packageId: event.packageId } : {}),
    ...(has("module") ? { module: event.module } : {}),
    ...(has("sender") ? { sender: event.sender } : {}),
    ...(has("event_type") ? { eventType: event.type } : {}),
    ...(has("contents") ? { contents: { name: event.type, value: event.contents } } : {}),
    ...(has("checkpoint") ? { checkpoint: event.checkpoint } : {}),
    ...(has("transaction_digest") ? { transactionDigest: event.transactionDigest } : {}),
    ...(has("transaction_index") ? { transactionIndex: event.transactionIndex } : {}),
    ...(has("event_index") ? { eventIndex: event.eventIndex } : {}),
  };
}

function compileFilter(
  filter: GrpcTypes.EventFilter | undefined,
): (event: FakeEvent) => boolean {
  if (filter === undefined) return () => true;
  if (filter.terms.length === 0) {
    throw new GrpcStatus(INVALID_ARGUMENT, "filter.terms: at least one filter term is required");
  }
  const terms = filter.terms.map((term) => {
    if (term.literals.length === 0) {
      throw new GrpcStatus(INVALID_ARGUMENT, "filter.terms.literals: at least one is required");
    }
    return term.literals.map((literal) => {
      const predicate = compilePredicate(literal);
      return literal.negated ? (event: FakeEvent) => !predicate(event) : predicate;
    });
  });
  return (event) => terms.some((literals) => literals.every((predicate) => predicate(event)));
}

function compilePredicate(literal: GrpcTypes.EventLiteral): (event: FakeEvent) => boolean {
  const { predicate } = literal;
  switch (predicate.oneofKind) {
    case "sender": {
      const address = canonicalAddress(predicate.sender.address ?? "");
      if (address === undefined) throw new GrpcStatus(INVALID_ARGUMENT, "sender.address: invalid");
      return (event) => event.sender === address;
    }
    case "emitModule": {
      const [address, module, ...rest] = path(predicate.emitModule.module, "emit_module.module");
      if (rest.length > 0) throw new GrpcStatus(INVALID_ARGUMENT, "emit_module.module: too long");
      return (event) =>
        event.packageId === address && (module === undefined || event.module === module);
    }
    case "eventType": {
      const wanted = path(predicate.eventType.eventType, "event_type.event_type");
      return (event) => {
        const have = event.type.split("::");
        return wanted.every((part, i) => have[i] === part);
      };
    }
    default:
      throw new GrpcStatus(
        INVALID_ARGUMENT,
        "filter.terms.literals: predicate variant is required",
      );
  }
}

function path(text: string | undefined, field: string): string[] {
  const [address = "", ...rest] = (text ?? "").split("::");
  const canonical = canonicalAddress(address);
  if (canonical === undefined || rest.length > 2 || rest.includes("")) {
    throw new GrpcStatus(INVALID_ARGUMENT, `${field}: expected address[::module[::Name]]`);
  }
  return [canonical, ...rest];
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function omit<T extends object>(value: T, fields: readonly string[]): T {
  const copy = { ...value };
  for (const field of fields) Reflect.deleteProperty(copy, field);
  return copy;
}

/** Index of the first event at or above `checkpoint`; events are in ledger order. */
export function firstEventAt(events: readonly FakeEvent[], checkpoint: bigint): number {
  let low = 0;
  let high = events.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((events[middle]?.checkpoint ?? 0n) < checkpoint) low = middle + 1;
    else high = middle;
  }
  return low;
}
