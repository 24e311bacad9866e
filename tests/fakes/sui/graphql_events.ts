/** Events as Sui's GraphQL RPC pages them. */
import { canonicalAddress } from "../../../sui/address.ts";
import type { FakeChain, FakeEvent } from "./chain.ts";
import { type Fault, find } from "./faults.ts";
import { checkpoint, refused } from "./graphql_values.ts";
import { firstEventAt, servedCheckpoint } from "./node.ts";

export interface EventsArguments {
  readonly first?: number;
  readonly after?: string;
  readonly last?: number;
  readonly before?: string;
  readonly filter?: {
    readonly afterCheckpoint?: number;
    readonly atCheckpoint?: number;
    readonly beforeCheckpoint?: number;
    readonly module?: string;
    readonly sender?: string;
    readonly type?: string;
  };
}

/** Transaction on the chain and event within it. */
interface Cursor {
  readonly t: number;
  readonly e: number;
}

/** A page as the schema's EventConnection. */
export interface EventConnection {
  readonly edges: readonly { readonly cursor: string; readonly node: ReturnType<typeof node> }[];
  readonly nodes: readonly ReturnType<typeof node>[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
}

export function eventConnection(
  chain: FakeChain,
  { first = 20, after, last, before, filter = {} }: EventsArguments,
  faults: readonly Fault[],
): EventConnection {
  if (last !== undefined || before !== undefined) {
    throw refused("FEATURE_UNAVAILABLE", "this stand-in reads ascending only");
  }
  const served = servedCheckpoint(chain, faults);
  const replay = find(faults, "replay_events") !== undefined;
  const at = filter.atCheckpoint;
  // Below what is retained nothing is said: the bound moves up.
  const lowest = replay ? chain.lowest : [
    chain.lowest,
    filter.afterCheckpoint === undefined ? 0n : BigInt(filter.afterCheckpoint) + 1n,
    BigInt(at ?? 0),
  ].reduce((a, b) => a > b ? a : b);
  const highest = [
    served,
    filter.beforeCheckpoint === undefined ? served : BigInt(filter.beforeCheckpoint) - 1n,
    at === undefined ? served : BigInt(at),
  ].reduce((a, b) => a < b ? a : b);
  const matches = compile(filter);
  const start = after === undefined || replay ? undefined : decodeCursor(after);
  const found: FakeEvent[] = [];
  const wanted = first + 2;
  const { events } = chain;
  for (let i = firstEventAt(events, lowest); i < events.length && found.length < wanted; i++) {
    const event = events[i];
    if (event === undefined || event.checkpoint > highest) break;
    if (start !== undefined && isBefore(event, start)) continue;
    if (matches(event)) found.push(event);
  }
  // The bound itself must be there, or there is nothing behind it.
  if (start !== undefined && (found[0] === undefined || !isAt(found[0], start))) found.length = 0;
  const page = (start === undefined ? found : found.slice(1)).slice(0, first);
  const hasNextPage = page.length > 0 && found.length > page.length + (start === undefined ? 0 : 1);
  let edges = page.map((event) => ({ cursor: encodeCursor(event), node: node(chain, event) }));
  const ends = { startCursor: edges[0]?.cursor ?? null, endCursor: edges.at(-1)?.cursor ?? null };
  if (find(faults, "duplicate_events") !== undefined) edges = edges.flatMap((edge) => [edge, edge]);
  if (find(faults, "reverse_events") !== undefined) edges = edges.toReversed();
  return {
    edges,
    nodes: edges.map(({ node }) => node),
    pageInfo: { hasNextPage, hasPreviousPage: start !== undefined && page.length > 0, ...ends },
  };
}

function node(chain: FakeChain, event: FakeEvent) {
  return {
    contents: {
      type: { repr: event.type },
      bcs: event.contents.toBase64(),
      json: null,
      display: null,
    },
    sender: { address: event.sender },
    sequenceNumber: event.eventIndex,
    timestamp: new Date(chain.checkpointAt(event.checkpoint)?.timestampMs ?? 0).toISOString(),
    transaction: {
      digest: event.transactionDigest,
      effects: { checkpoint: checkpoint(chain, event.checkpoint, event.checkpoint) },
    },
    transactionModule: { name: event.module, package: { address: event.packageId } },
  };
}

function compile(
  { module, sender, type }: NonNullable<EventsArguments["filter"]>,
): (event: FakeEvent) => boolean {
  if (module !== undefined && type !== undefined) {
    throw refused("FEATURE_UNAVAILABLE", "Filtering by both emitting module and event type");
  }
  const wantedSender = sender === undefined ? undefined : path(sender)[0];
  const emitting = module === undefined ? undefined : path(module);
  const typed = type === undefined ? undefined : path(type);
  return (event) =>
    (wantedSender === undefined || event.sender === wantedSender) &&
    (emitting === undefined ||
      (event.packageId === emitting[0] &&
        (emitting[1] === undefined || event.module === emitting[1]))) &&
    (typed === undefined || typed.every((part, i) => event.type.split("::")[i] === part));
}

function path(text: string): string[] {
  const [first = "", ...rest] = text.split("::");
  const address = canonicalAddress(first);
  if (address === undefined || rest.length > 2 || rest.includes("")) {
    throw refused("BAD_USER_INPUT", "filter: expected address[::module[::Name]]");
  }
  return [address, ...rest];
}

function encodeCursor({ transactionSequence, eventIndex }: FakeEvent): string {
  return btoa(JSON.stringify({ t: Number(transactionSequence), e: eventIndex }));
}

function decodeCursor(text: string): Cursor {
  let json: unknown;
  try {
    json = JSON.parse(atob(text));
  } catch {
    throw refused("BAD_USER_INPUT", "after: Invalid cursor");
  }
  if (
    typeof json !== "object" || json === null || !("t" in json) || typeof json.t !== "number" ||
    !("e" in json) || typeof json.e !== "number"
  ) throw refused("BAD_USER_INPUT", "after: Invalid cursor");
  return { t: json.t, e: json.e };
}

function isAt({ transactionSequence, eventIndex }: FakeEvent, { t, e }: Cursor): boolean {
  return Number(transactionSequence) === t && eventIndex === e;
}

function isBefore({ transactionSequence, eventIndex }: FakeEvent, { t, e }: Cursor): boolean {
  return Number(transactionSequence) < t || (Number(transactionSequence) === t && eventIndex < e);
}
