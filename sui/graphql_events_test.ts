import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import type { Fault } from "../tests/fakes/sui/faults.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { FakeGraphql } from "../tests/fakes/sui/graphql.ts";
import { gatewayType } from "./address.ts";
import { decodeEvents } from "./graphql_decode.ts";
import { type AskEvents, GraphqlEvents } from "./graphql_events.ts";
import { EVENTS_QUERY } from "./graphql_queries.ts";
import { LedgerProtocolError } from "./ledger.ts";

const RUNS = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 5_000 : 60;
const ALICE = "0x" + "a1".repeat(32);

/** Events to a transaction, transactions to a checkpoint, checkpoints. */
const layout = fc.array(
  fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
  { minLength: 1, maxLength: 8 },
);

interface Step {
  readonly limit: number;
  /** Whether the reader forgets what it learnt, as after a restart. */
  readonly restarts: boolean;
  readonly fault: "none" | "lag" | "duplicate_events" | "replay_events";
  /** Whether what has come is to be enough. */
  readonly late: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  limit: fc.integer({ min: 1, max: 12 }),
  restarts: fc.boolean(),
  late: fc.boolean(),
  fault: fc.constantFrom("none", "none", "lag", "duplicate_events", "replay_events"),
});

function grow(gateway: FakeGateway, checkpoints: readonly (readonly number[])[]): void {
  for (const transactions of checkpoints) {
    for (const events of transactions) {
      gateway.chain.execute(ALICE, (tx) => {
        tx.emit(gatewayType(ALICE, "Foreign"), Uint8Array.of(0));
        for (let i = 0; i < events; i++) {
          tx.emit(gatewayType(gateway.packageId, "E"), Uint8Array.of(i));
        }
      });
    }
    gateway.chain.advance();
  }
}

/** Asks the stand-in without a socket between. */
function asking(gateway: FakeGateway, server: FakeGraphql, faults: readonly Fault[]): AskEvents {
  return async ({ afterCheckpoint, first, after }) => {
    const variables = {
      type: `${gateway.packageId}::k8s_gateway`,
      first,
      ...(afterCheckpoint === undefined ? {} : { afterCheckpoint: Number(afterCheckpoint) }),
      ...(after === undefined ? {} : { after }),
    };
    const request = { query: EVENTS_QUERY, variables, operationName: undefined, bytes: 0 };
    const answer = await server.answer(request, faults);
    assertEquals(answer.errors, undefined);
    const json: unknown = JSON.parse(JSON.stringify(answer.data));
    return decodeEvents(json);
  };
}

Deno.test("page() gives every event once and in order, over restarts, lags and servers that repeat (property)", async () => {
  await fc.assert(
    fc.asyncProperty(
      layout,
      layout,
      fc.array(step, { minLength: 1, maxLength: 25 }),
      async (early, late, steps) => {
        const clock = () => 1_790_000_000_000;
        const chain = new FakeChain({ clock, autoCheckpoint: false });
        const gateway = new FakeGateway({ chain, clock });
        const server = new FakeGraphql(chain);
        grow(gateway, early);
        let reader = new GraphqlEvents("node");
        let cursor: string | undefined;
        const seen: string[] = [];
        const read = async (
          { limit, restarts, fault, late }: Step,
        ): Promise<{ readonly hasMore: boolean }> => {
          if (restarts) reader = new GraphqlEvents("node");
          const faults: Fault[] = fault === "none"
            ? []
            : fault === "lag"
            ? [{ kind: "lag", checkpoints: limit }]
            : [{ kind: fault }];
          let page;
          try {
            page = await reader.page(asking(gateway, server, faults), cursor, {
              limit,
              late: () => late,
            });
          } catch (error) {
            // A server that begins anew whatever it is asked gets nowhere; nothing was handed over.
            if (fault === "replay_events" && error instanceof LedgerProtocolError) {
              return { hasMore: false };
            }
            throw error;
          }
          assert(page.events.length <= limit);
          seen.push(
            ...page.events.map((event) => `${event.transactionDigest}/${event.eventIndex}`),
          );
          cursor = page.cursor;
          return page;
        };
        const half = Math.ceil(steps.length / 2);
        for (const one of steps.slice(0, half)) await read(one);
        grow(gateway, late);
        for (const one of steps.slice(half)) await read(one);
        const last: Step = { limit: 7, restarts: false, fault: "none", late: false };
        while ((await read(last)).hasMore);
        const all = chain.events.filter(({ type }) => type.startsWith(gateway.packageId))
          .map((event) => `${event.transactionDigest}/${event.eventIndex}`);
        assertEquals(seen, all);
      },
    ),
    { numRuns: RUNS },
  );
});

Deno.test("page() is content with what has come where it is late, if anything has", async () => {
  const clock = () => 1_790_000_000_000;
  const chain = new FakeChain({ clock });
  const gateway = new FakeGateway({ chain, clock });
  const ask = asking(gateway, new FakeGraphql(chain), []);
  const reader = new GraphqlEvents("node");
  const late = () => true;
  const nothing = await reader.page(ask, undefined, { limit: 1000, late });
  assertEquals([nothing.events.length, nothing.hasMore], [0, false]);
  for (let i = 0; i < 120; i++) gateway.emit(ALICE, "E", Uint8Array.of(i));
  const sizes: number[] = [];
  let { cursor } = nothing;
  for (let more = true; more;) {
    const page = await reader.page(ask, cursor, { limit: 1000, late });
    sizes.push(page.events.length);
    ({ cursor, hasMore: more } = page);
  }
  assertEquals(sizes, [50, 49, 21]);
});
