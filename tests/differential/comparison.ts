/** Runs one sequence of operations against two etcds and compares everything they say. */
import { AssertionError } from "@std/assert";
import {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  WatchCreateRequest,
  WatchRequest,
  WatchResponse,
} from "../../api/etcd/messages.ts";
import type { Answer, ClientStream, EtcdClient } from "../etcd/client.ts";
import { type Command, resolveRevision, send } from "./operations.ts";

const ALL = { key: new Uint8Array(1), rangeEnd: new Uint8Array(1) };

/** Both sides of the comparison. */
export interface Sides {
  readonly own: EtcdClient;
  readonly reference: EtcdClient;
}

async function revisionOf(client: EtcdClient): Promise<number> {
  const answer = await client.call("/etcdserverpb.KV/Range", RangeRequest, RangeResponse, {
    key: Uint8Array.of(1),
  });
  if (!answer.ok) throw new AssertionError(`range: ${answer.message}`);
  return answer.value.header!.revision;
}

/** Empties both sides and brings them to the same revision, which is then compacted and returned. */
async function reset({ own, reference }: Sides): Promise<number> {
  for (const client of [own, reference]) {
    const leases = await client.call(
      "/etcdserverpb.Lease/LeaseLeases",
      LeaseLeasesRequest,
      LeaseLeasesResponse,
      {},
    );
    for (const { id } of leases.ok ? leases.value.leases : []) {
      await client.call(
        "/etcdserverpb.Lease/LeaseRevoke",
        LeaseRevokeRequest,
        LeaseRevokeResponse,
        { id },
      );
    }
    await client.call(
      "/etcdserverpb.KV/DeleteRange",
      DeleteRangeRequest,
      DeleteRangeResponse,
      ALL,
    );
  }
  for (;;) {
    const [a, b] = await Promise.all([revisionOf(own), revisionOf(reference)]);
    if (a === b) break;
    await put(a < b ? own : reference, utf8("level"));
  }
  for (const client of [own, reference]) {
    // Something to delete, so that the deletion takes a revision on both sides.
    await put(client, utf8("level"));
    await client.call(
      "/etcdserverpb.KV/DeleteRange",
      DeleteRangeRequest,
      DeleteRangeResponse,
      ALL,
    );
  }
  const now = await revisionOf(own);
  for (const client of [own, reference]) {
    await client.call("/etcdserverpb.KV/Compact", CompactionRequest, CompactionResponse, {
      revision: now,
      physical: true,
    });
  }
  return now;
}

async function put(client: EtcdClient, key: Uint8Array<ArrayBuffer>): Promise<number> {
  const answer = await client.call("/etcdserverpb.KV/Put", PutRequest, PutResponse, { key });
  if (!answer.ok) throw new AssertionError(`put: ${answer.message}`);
  return answer.value.header!.revision;
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** What of an answer must be equal. Ids, term and running clocks are each server's own. */
function comparable(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes:${value.toHex()}`;
  if (typeof value === "bigint") return `${value}n`;
  if (Array.isArray(value)) return value.map(comparable);
  if (typeof value !== "object" || value === null) return value;
  const out: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) {
    if (name === "identity") continue;
    out[name] = comparable(inner);
  }
  return out;
}

function normalise(command: Command, answer: unknown): unknown {
  const out = comparable(answer);
  if (typeof out !== "object" || out === null || !("value" in out)) return out;
  const value = out.value;
  if (typeof value !== "object" || value === null) return out;
  if (command.type === "ttl" && "ttl" in value && "keys" in value) {
    value.ttl = value.ttl === -1 ? -1 : "running";
    if (Array.isArray(value.keys)) value.keys.sort();
  }
  if (command.type === "leases" && "leases" in value && Array.isArray(value.leases)) {
    value.leases = value.leases.map((lease: unknown) => JSON.stringify(lease)).sort();
  }
  return out;
}

function isOk(answer: unknown): boolean {
  return typeof answer === "object" && answer !== null && "ok" in answer && answer.ok === true;
}

interface OpenWatch {
  readonly request: WatchCreateRequest;
  readonly own: WatchRecorder;
  readonly reference: WatchRecorder;
}

/** One watch on a stream of its own. */
class WatchRecorder {
  readonly stream: ClientStream<WatchRequest, WatchResponse>;
  readonly log: unknown[] = [];
  #ended = false;

  constructor(client: EtcdClient, request: WatchCreateRequest) {
    this.stream = client.stream("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse);
    this.stream.send(WatchRequest.of({ createRequest: request }));
  }

  /** The answer to the creation. */
  async created(): Promise<void> {
    this.#take(await this.stream.next());
  }

  /** Reads until an event of this revision or a later one came, or the watch was cancelled. */
  async until(revision: number): Promise<void> {
    while (!this.#ended && this.#newest < revision) this.#take(await this.stream.next());
  }

  #newest = 0;

  #take(answer: Answer<WatchResponse>): void {
    if (!answer.ok) {
      this.log.push({ status: answer.code, message: answer.message });
      this.#ended = true;
      return;
    }
    const { created, canceled, compactRevision, cancelReason, watchId, events } = answer.value;
    if (created || canceled) {
      this.log.push(comparable({ created, canceled, compactRevision, cancelReason, watchId }));
    }
    if (canceled) this.#ended = true;
    // How events are grouped into messages is each server's own affair; their order is not.
    for (const event of events) {
      this.log.push(comparable(event));
      this.#newest = Math.max(this.#newest, event.kv?.modRevision ?? 0);
    }
  }
}

/** @returns how many operations were compared. @throws {AssertionError} on the first difference */
export async function compareSequence(sides: Sides, commands: readonly Command[]): Promise<number> {
  let compacted = await reset(sides);
  const watches: OpenWatch[] = [];
  let now = await revisionOf(sides.reference);
  let compared = 0;
  try {
    for (const command of commands) {
      compared++;
      if (command.type === "watch") {
        watches.push(await openWatch(sides, command, now, compacted));
        continue;
      }
      if (command.type === "compact") {
        // etcd reads the past ten times a second: what it has not read by now, it would lose.
        for (const watch of watches) await flush(sides, watch);
        now = await revisionOf(sides.reference);
      }
      const [own, reference] = await Promise.all([
        send(sides.own, command, now),
        send(sides.reference, command, now),
      ]);
      equal(normalise(command, own), normalise(command, reference), command);
      if (command.type === "compact" && isOk(own)) {
        compacted = Math.max(compacted, resolveRevision(command.at, now));
      }
      now = await revisionOf(sides.reference);
    }
    for (const watch of watches) await compareWatch(sides, watch);
  } finally {
    for (const { own, reference } of watches) {
      own.stream.cancel();
      reference.stream.cancel();
    }
  }
  return compared;
}

async function openWatch(
  sides: Sides,
  command: Command & { type: "watch" },
  now: number,
  compacted: number,
): Promise<OpenWatch> {
  const start = Math.max(0, resolveRevision(command.at, now));
  const request = WatchCreateRequest.of({
    ...command.request,
    // etcd before 3.4.34 and 3.5.16 lost a deletion made at the very revision of a compaction.
    startRevision: start === compacted ? start + 1 : start,
  });
  const watch = {
    request,
    own: new WatchRecorder(sides.own, request),
    reference: new WatchRecorder(sides.reference, request),
  };
  await Promise.all([watch.own.created(), watch.reference.created()]);
  return watch;
}

/** Makes both streams show a last event, so that everything before it has been shown too. */
async function flush(sides: Sides, watch: OpenWatch): Promise<number> {
  const { key, filters, rangeEnd, startRevision } = watch.request;
  const [putAt] = await Promise.all([put(sides.own, key), put(sides.reference, key)]);
  const deleted = await Promise.all(
    [sides.own, sides.reference].map((client) =>
      client.call("/etcdserverpb.KV/DeleteRange", DeleteRangeRequest, DeleteRangeResponse, { key })
    ),
  );
  equal(comparable(deleted[0]), comparable(deleted[1]), watch.request);
  const last = filters.includes(0) ? putAt + 1 : putAt;
  const inRange = rangeEnd.length === 0 || (rangeEnd.length === 1 && rangeEnd[0] === 0) ||
    text(key) < text(rangeEnd);
  if (inRange && startRevision <= putAt) {
    await Promise.all([watch.own.until(last), watch.reference.until(last)]);
  }
  return last;
}

async function compareWatch(sides: Sides, watch: OpenWatch): Promise<void> {
  const last = await flush(sides, watch);
  equal(upTo(watch.own.log, last), upTo(watch.reference.log, last), watch.request);
}

/** Later events may or may not have arrived. */
function upTo(log: readonly unknown[], revision: number): unknown[] {
  return log.filter((entry) => {
    const at = modRevision(entry);
    return at === undefined || at <= revision;
  });
}

function modRevision(entry: unknown): number | undefined {
  if (typeof entry !== "object" || entry === null || !("kv" in entry)) return undefined;
  const { kv } = entry;
  if (typeof kv !== "object" || kv === null || !("modRevision" in kv)) return undefined;
  return Number(kv.modRevision);
}

function text(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function equal(own: unknown, reference: unknown, what: unknown): void {
  const a = JSON.stringify(own);
  const b = JSON.stringify(reference);
  if (a === b) return;
  throw new AssertionError(
    `${JSON.stringify(comparable(what))}\n  ours: ${a}\n  etcd: ${b}`,
  );
}
