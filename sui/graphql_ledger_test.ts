import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertNotEquals,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import type { Fault } from "../tests/fakes/sui/faults.ts";
import { FakeGateway } from "../tests/fakes/sui/gateway.ts";
import { type FakeNode, startFakeNode } from "../tests/fakes/sui/server.ts";
import { zkLoginSignature } from "../tests/fakes/sui/wallets.ts";
import { addressBytes, gatewayType, OBJECT_ID_TYPE } from "./address.ts";
import type { ChainClient } from "./chain_client.ts";
import { type GraphqlLedgerOptions, openGraphqlLedger } from "./graphql_ledger.ts";
import { openGrpcLedger } from "./grpc_ledger.ts";
import {
  type Ledger,
  LedgerHistoryPruned,
  LedgerProtocolError,
  LedgerUnavailable,
} from "./ledger.ts";

const ALICE = "0x" + "a1".repeat(32);
const MALLORY = "0x" + "66".repeat(32);

interface World extends AsyncDisposable {
  readonly chain: FakeChain;
  readonly gateway: FakeGateway;
  readonly node: FakeNode;
  readonly ledger: ChainClient;
  readonly module: { readonly packageId: string; readonly module: string };
}

async function world(options: Partial<GraphqlLedgerOptions> = {}): Promise<World> {
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  const node = await startFakeNode({ gateway });
  const ledger = await openGraphqlLedger({ endpoint: node.graphqlUrl, ...options });
  return {
    chain,
    gateway,
    node,
    ledger,
    module: { packageId: gateway.packageId, module: "k8s_gateway" },
    [Symbol.asyncDispose]: async () => {
      await ledger[Symbol.asyncDispose]();
      await node[Symbol.asyncDispose]();
    },
  };
}

/** A ledger whose server answers what `answer` makes of the honest answer. */
function tampering(w: World, answer: (text: string) => Response | string): Promise<ChainClient> {
  return openGraphqlLedger({
    endpoint: w.node.graphqlUrl,
    fetch: async (input, init) => {
      const made = answer(await (await fetch(input, init)).text());
      return made instanceof Response
        ? made
        : new Response(made, { headers: { "content-type": "application/json" } });
    },
  });
}

async function contents(ledger: Ledger, w: World, limit: number): Promise<number[]> {
  const seen: number[] = [];
  let cursor: string | undefined;
  for (let guard = 0; guard < 200; guard++) {
    const page = await ledger.events(w.module, cursor, limit);
    seen.push(...page.events.map((event) => event.contents[0] ?? -1));
    cursor = page.cursor;
    if (!page.hasMore) break;
  }
  return seen;
}

Deno.test("openGraphqlLedger() refuses what is no http endpoint", async () => {
  await assertRejects(() => openGraphqlLedger({ endpoint: "ftp://node" }), TypeError, "http");
  await assertRejects(() => openGraphqlLedger({ endpoint: "node" }), TypeError);
});

Deno.test("every failure of the network is LedgerUnavailable, never a no", async () => {
  await using w = await world({ timeoutMs: 150, maxAnswerBytes: 1024 * 1024 });
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const faults: Fault[] = [
    { kind: "http_status", status: 404 },
    { kind: "http_status", status: 503 },
    { kind: "http_status", status: 302 },
    { kind: "http_status", status: 200 },
    { kind: "html" },
    { kind: "garbage" },
    { kind: "drop", afterBytes: 3 },
    { kind: "drop", afterBytes: 60 },
    { kind: "hang" },
    { kind: "flood" },
    { kind: "lost_answer" },
    { kind: "grpc_status", code: 4 },
    { kind: "grpc_status", code: 13 },
    { kind: "grpc_status", code: 14 },
  ];
  for (const fault of faults) {
    w.node.faults.set(fault);
    for (const id of [tokenId, "0x" + "77".repeat(32)]) {
      const error = await assertRejects(
        () => w.ledger.getObject(id),
        LedgerUnavailable,
        undefined,
        JSON.stringify(fault),
      );
      assertStringIncludes(error.message, new URL(w.node.url).host);
    }
    await assertRejects(() => w.ledger.status(), LedgerUnavailable);
    await assertRejects(() => w.ledger.events(w.module, undefined, 5), LedgerUnavailable);
    const verify = () =>
      w.ledger.zkLogin.verifyPersonalMessage(
        new Uint8Array(3),
        "AA==",
        ALICE,
        new AbortController().signal,
      );
    await assertRejects(verify, LedgerUnavailable);
    w.node.faults.clear();
  }
  await using patient = await openGraphqlLedger({ endpoint: w.node.graphqlUrl });
  assertEquals((await patient.getObject(tokenId))?.id, tokenId);
});

Deno.test("what the server refuses as such is LedgerProtocolError", async () => {
  await using w = await world();
  for (const code of [3, 12]) {
    w.node.faults.set({ kind: "grpc_status", code });
    await assertRejects(() => w.ledger.getObject(ALICE), LedgerProtocolError, "as told");
    await assertRejects(() => w.ledger.events(w.module, undefined, 5), LedgerProtocolError);
    w.node.faults.clear();
  }
});

Deno.test("nobody listening is LedgerUnavailable", async () => {
  const gone = await world();
  await gone.node[Symbol.asyncDispose]();
  await assertRejects(() => gone.ledger.status(), LedgerUnavailable);
  await gone.ledger[Symbol.asyncDispose]();
});

Deno.test("closing the ledger ends what is on its way", async () => {
  await using w = await world();
  w.node.faults.set({ kind: "hang" });
  const waiting = assertRejects(() => w.ledger.status(), LedgerUnavailable, "closed");
  await w.ledger[Symbol.asyncDispose]();
  await waiting;
});

Deno.test("getObject() joins what is asked at once into requests of 40", async () => {
  await using w = await world();
  const ids = Array.from(
    { length: 81 },
    (_, i) => w.gateway.createToken({ owner: ALICE, nodeId: `n${i}` }).tokenId,
  );
  const objects = await Promise.all(ids.map((id) => w.ledger.getObject(id)));
  assertEquals(objects.map((object) => object?.id), ids);
  assertEquals(w.node.calls.get("BatchGetObjects"), 3);
});

Deno.test("getObject() gives up with its signal and leaves the others waiting", async () => {
  await using w = await world();
  w.node.faults.set({ kind: "delay", milliseconds: 50 });
  const abort = new AbortController();
  const impatient = assertRejects(
    () => w.ledger.getObject(w.gateway.registryId, abort.signal),
    LedgerUnavailable,
  );
  const patient = w.ledger.getObject(w.gateway.registryId);
  abort.abort(new Error("enough"));
  await impatient;
  assertEquals((await patient)?.id, w.gateway.registryId);
  assertEquals(w.node.calls.get("BatchGetObjects"), 1);
});

Deno.test("a chain other than the pinned one is refused on every answer", async () => {
  await using w = await world({ chainId: "1".repeat(43) });
  const { address, signature } = await zkLoginSignature(new Uint8Array(3));
  w.chain.zkLogin.set(signature, { address, message: new Uint8Array(3) });
  const verify = (ledger: ChainClient) =>
    ledger.zkLogin.verifyPersonalMessage(
      new Uint8Array(3),
      signature,
      address,
      new AbortController().signal,
    );
  await assertRejects(() => w.ledger.status(), LedgerProtocolError, "expected");
  await assertRejects(() => w.ledger.getObject(w.gateway.registryId), LedgerProtocolError);
  await assertRejects(() => w.ledger.events(w.module, undefined, 5), LedgerProtocolError);
  await assertRejects(() => verify(w.ledger), LedgerProtocolError);
  await using learned = await world();
  await learned.ledger.status();
  learned.node.faults.set({ kind: "other_chain", chainId: "2".repeat(43) });
  await assertRejects(
    () => learned.ledger.getObject(learned.gateway.registryId),
    LedgerProtocolError,
  );
  // As an indexer of years ago named its chain.
  learned.node.faults.clear();
  learned.node.faults.set({ kind: "other_chain", chainId: "35834a8a" });
  await assertRejects(() => learned.ledger.status(), LedgerProtocolError, "chainIdentifier");
});

Deno.test("an answer that cannot be is LedgerProtocolError and names the field", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.node.faults.set({ kind: "wrong_object", id: w.gateway.registryId });
  await assertRejects(() => w.ledger.getObject(tokenId), LedgerProtocolError, "address");
  w.node.faults.clear();
  for (
    const field of [
      "address",
      "version",
      "digest",
      "owner",
      "asMoveObject",
      "asMovePackage",
      "contents",
      "repr",
      "bcs",
      "chainIdentifier",
      "sequenceNumber",
      "timestamp",
    ]
  ) {
    w.node.faults.set({ kind: "omit_fields", fields: [field] });
    await assertRejects(() => w.ledger.getObject(tokenId), LedgerProtocolError, field);
    w.node.faults.clear();
  }
  for (
    const field of [
      "pageInfo",
      "hasNextPage",
      "cursor",
      "sequenceNumber",
      "sender",
      "digest",
      "effects",
      "transactionModule",
      "contents",
      "serviceConfig",
    ]
  ) {
    w.node.faults.set({ kind: "omit_fields", fields: [field] });
    await assertRejects(
      () => w.ledger.events(w.module, undefined, 5),
      LedgerProtocolError,
      field,
    );
    w.node.faults.clear();
  }
  w.node.faults.set({ kind: "lie_object", id: tokenId, type: "0x2::coin" });
  await assertRejects(() => w.ledger.getObject(tokenId), LedgerProtocolError, "repr");
});

Deno.test("one answer that cannot be does not take the others of its batch with it", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.node.faults.set({ kind: "lie_object", id: tokenId, version: "0" });
  const [bad, good] = await Promise.allSettled([
    w.ledger.getObject(tokenId),
    w.ledger.getObject(w.gateway.registryId),
  ]);
  assert(bad.status === "rejected" && bad.reason instanceof LedgerProtocolError);
  assert(good.status === "fulfilled" && good.value?.id === w.gateway.registryId);
});

Deno.test("answers that are malformed anywhere are refused, and never become an object", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const tampered: ((text: string) => string)[] = [
    () => "",
    () => "null",
    () => "[]",
    () => "{}",
    () => '{"data":null}',
    () => '{"data":{}}',
    (text) => text.slice(0, -1),
    (text) => text + "{}",
    (text) => text.replace('"AddressOwner"', '"Owner"'),
    (text) => text.replace('"AddressOwner"', '"Immutable"'),
    (text) => text.replace(/"version":(\d+)/, '"version":"$1"'),
    (text) => text.replace(/"version":(\d+)/, '"version":$1.5'),
    (text) => text.replace(/"version":\d+/, '"version":9007199254740993'),
    (text) => text.replace(/"version":\d+/, '"version":null'),
    (text) => text.replace(/"bcs":"[^"]*"/, '"bcs":"*"'),
    (text) => text.replace(/"timestamp":"[^"]*"/, '"timestamp":"yesterday"'),
    (text) => text.replace(/"timestamp":"[^"]*"/, '"timestamp":"2026-13-01T00:00:00Z"'),
    (text) => text.replace(/"sequenceNumber":\d+/, '"sequenceNumber":-1'),
    (text) => text.replace('"multiGetObjects":[', '"multiGetObjects":[null,'),
    (text) => text.replace('"asMovePackage":null', '"asMovePackage":{"__typename":"MovePackage"}'),
    (text) => text.replace('"digest":', '"unasked":1,"digest":'),
    (text) => text.replace('"data":', '"status":"ok","data":'),
  ];
  for (const tamper of tampered) {
    let changed = "";
    await using ledger = await tampering(w, (text) => {
      changed = tamper(text);
      assertNotEquals(changed, text, tamper.toString());
      return changed;
    });
    const error = await assertRejects(
      () => ledger.getObject(tokenId),
      Error,
      undefined,
      tamper.toString(),
    );
    assert(
      error instanceof LedgerProtocolError || error instanceof LedgerUnavailable,
      `${tamper}: ${error}`,
    );
  }
  // Data beside errors is not looked at.
  await using partial = await tampering(
    w,
    (text) =>
      text.replace(
        /}$/,
        ',"errors":[{"message":"busy","extensions":{"code":"RESOURCE_EXHAUSTED"}}]}',
      ),
  );
  await assertRejects(() => partial.getObject(tokenId), LedgerUnavailable, "busy");
  // An undated answer counts as undated.
  await using undated = await tampering(
    w,
    (text) => text.replace(/"timestamp":"[^"]*"/, '"timestamp":null'),
  );
  assertEquals((await undated.getObject(tokenId))?.observed, undefined);
});

Deno.test("an answer of another content type, or over the limit, is none", async () => {
  await using w = await world({ maxAnswerBytes: 2_000 });
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "n".repeat(4_000) });
  await assertRejects(() => w.ledger.getObject(tokenId), LedgerUnavailable, "too large");
  await using plain = await tampering(
    w,
    (text) => new Response(text, { headers: { "content-type": "text/plain" } }),
  );
  await assertRejects(() => plain.getObject(tokenId), LedgerUnavailable, "content type");
});

Deno.test("getDynamicField() refuses an object that is no field of that parent", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const name = { type: OBJECT_ID_TYPE, bcs: addressBytes(tokenId) };
  const fieldId = w.gateway.entryFieldId(tokenId);
  const contents = w.chain.latest(fieldId)?.contents.slice() ?? new Uint8Array();
  w.node.faults.set({ kind: "lie_object", id: fieldId, ownerAddress: MALLORY });
  const read = () => w.ledger.getDynamicField(w.gateway.tableId, name);
  await assertRejects(read, LedgerProtocolError, "owner");
  w.node.faults.clear();
  contents[63] = (contents[63] ?? 0) ^ 1;
  w.node.faults.set({ kind: "lie_object", id: fieldId, contentsHex: contents.toHex() });
  await assertRejects(read, LedgerProtocolError, "another id or key");
});

Deno.test("zkLogin: yes, no, and a service that cannot say are three different things", async () => {
  await using w = await world();
  const message = new TextEncoder().encode("hello");
  const { address, signature } = await zkLoginSignature(message);
  const verify = (what = message, who = address) =>
    w.ledger.zkLogin.verifyPersonalMessage(what, signature, who, new AbortController().signal);
  assertEquals(await verify(), false);
  w.chain.zkLogin.set(signature, { address, message });
  assertEquals(await verify(), true);
  assertEquals(await verify(new Uint8Array(5)), false);
  assertEquals(await verify(message, MALLORY), false);
  w.node.faults.set({ kind: "grpc_status", code: 13 });
  await assertRejects(() => verify(), LedgerUnavailable);
  w.node.faults.clear();
  // A bad request is refused without a path: it says nothing of the signature.
  w.node.faults.set({ kind: "grpc_status", code: 3 });
  await assertRejects(() => verify(), LedgerProtocolError);
  w.node.faults.clear();
  // Nor does a null, nor another field's refusal.
  for (
    const answer of [
      '{"data":{"verifyZkLoginSignature":null}}',
      '{"errors":[{"message":"no","path":["checkpoint"],"extensions":{"code":"BAD_USER_INPUT"}}]}',
      '{"errors":[{"message":"no","path":["verifyZkLoginSignature"]}]}',
    ]
  ) {
    await using ledger = await tampering(w, () => answer);
    const error = await assertRejects(() =>
      ledger.zkLogin.verifyPersonalMessage(
        message,
        signature,
        address,
        new AbortController().signal,
      ), Error);
    assert(error instanceof LedgerProtocolError || error instanceof LedgerUnavailable, answer);
  }
});

Deno.test("events() pages over many, several to a transaction and a checkpoint", async () => {
  await using w = await world();
  w.chain.autoCheckpoint = false;
  for (let i = 0; i < 40; i++) {
    w.chain.execute(ALICE, (tx) => {
      for (let j = 0; j < 4; j++) {
        tx.emit(gatewayType(w.gateway.packageId, "E"), Uint8Array.of(4 * i + j));
      }
    });
    if (i % 23 === 22) w.chain.advance();
  }
  w.chain.advance();
  const all = Array.from({ length: 160 }, (_, i) => i);
  for (const limit of [1, 7, 50, 51, 160, 1000]) {
    assertEquals(await contents(w.ledger, w, limit), all, `limit ${limit}`);
  }
  // Another ledger, as after a restart, goes on from any cursor within the checkpoint.
  const page = await w.ledger.events(w.module, undefined, 160);
  for (const i of [0, 1, 2, 3, 60, 91, 92, 93, 159]) {
    await using restarted = await openGraphqlLedger({ endpoint: w.node.graphqlUrl });
    const rest = await restarted.events(w.module, page.events[i]?.cursor, 1000);
    assertEquals(rest.events.map((event) => event.contents[0]), all.slice(i + 1), `after ${i}`);
  }
});

Deno.test("events() of one checkpoint are not read from its beginning for every page", async () => {
  await using w = await world();
  w.chain.autoCheckpoint = false;
  for (let i = 0; i < 200; i++) w.gateway.emit(ALICE, "E", Uint8Array.of(i));
  w.chain.advance();
  assertEquals((await contents(w.ledger, w, 20)).length, 200);
  // One request a page, and a page that ends the list.
  assertEquals(w.node.calls.get("ListEvents"), 10);
});

Deno.test("cursors of gRPC and GraphQL continue each other, none twice or lost", async () => {
  await using w = await world();
  await using grpc = await openGrpcLedger({ endpoint: w.node.url });
  w.chain.autoCheckpoint = false;
  for (let i = 0; i < 30; i++) {
    w.chain.execute(ALICE, (tx) => {
      for (let j = 0; j < 3; j++) {
        tx.emit(gatewayType(w.gateway.packageId, "E"), Uint8Array.of(3 * i + j));
      }
    });
    if (i % 10 === 9) w.chain.advance();
  }
  for (const [one, other] of [[grpc, w.ledger], [w.ledger, grpc]] as const) {
    const seen: (number | undefined)[] = [];
    let cursor: string | undefined;
    for (let turn = 0; seen.length < 90; turn++) {
      const page = await (turn % 2 === 0 ? one : other).events(w.module, cursor, 7);
      assert(page.events.length > 0, `turn ${turn} after ${cursor}`);
      seen.push(...page.events.map((event) => event.contents[0]));
      cursor = page.cursor;
    }
    assertEquals(seen, Array.from({ length: 90 }, (_, i) => i));
    // Where everything was looked at, and where one of them is behind.
    const idle = await one.events(w.module, cursor, 7);
    assertEquals(idle.events, []);
    w.chain.advance(5);
    const further = await one.events(w.module, idle.cursor, 7);
    w.node.faults.set({ kind: "lag", checkpoints: 4 });
    const behind = await other.events(w.module, further.cursor, 7);
    assertEquals([behind.events, behind.hasMore, behind.cursor], [[], false, further.cursor]);
    w.node.faults.clear();
    assertEquals((await other.events(w.module, further.cursor, 7)).events, []);
  }
});

Deno.test("events() refuses an endpoint that does not know the event the cursor names", async () => {
  await using w = await world();
  for (let i = 0; i < 3; i++) w.gateway.emit(ALICE, "E", Uint8Array.of(i));
  const cursor = (await w.ledger.events(w.module, undefined, 2)).cursor;
  await using other = await world();
  for (let i = 0; i < 3; i++) other.gateway.emit(ALICE, "Other", Uint8Array.of(i));
  const elsewhere = cursor?.replace(/(\d):[1-9A-HJ-NP-Za-km-z]{32,44}:/, `$1:${"1".repeat(43)}:`);
  assertNotEquals(elsewhere, cursor);
  await assertRejects(
    () => other.ledger.events(other.module, elsewhere, 10),
    LedgerProtocolError,
    "where the cursor stands",
  );
  await using grpc = await openGrpcLedger({ endpoint: other.node.url });
  await assertRejects(
    () => grpc.events(other.module, elsewhere, 10),
    LedgerProtocolError,
    "where the cursor stands",
  );
});

Deno.test("events() says of a cursor without a transaction what to do", async () => {
  await using w = await world();
  w.gateway.emit(ALICE, "E", Uint8Array.of(1));
  const error = await assertRejects(
    () => w.ledger.events(w.module, "v1:1:0:0:AQ", 10),
    LedgerProtocolError,
  );
  assertStringIncludes(error.hint ?? "", "gRPC");
});

Deno.test("events() notices what a server leaves out because it forgot it", async () => {
  await using w = await world();
  for (let i = 0; i < 60; i++) w.gateway.emit(ALICE, "E", Uint8Array.of(i));
  const { cursor } = await w.ledger.events(w.module, undefined, 10);
  // Between two requests for one page, with the server's own cursor.
  let requests = 0;
  await using ledger = await openGraphqlLedger({
    endpoint: w.node.graphqlUrl,
    fetch: (input, init) => {
      requests++;
      if (requests === 2) w.chain.prune(w.chain.tip.sequence);
      return fetch(input, init);
    },
  });
  await assertRejects(() => ledger.events(w.module, undefined, 100), LedgerHistoryPruned);
  await assertRejects(() => w.ledger.events(w.module, cursor, 10), LedgerHistoryPruned);
  // So too where nothing was read yet: then it may begin later.
  let asked = 0;
  await using slow = await tampering(w, (text) => {
    asked++;
    return asked === 1
      ? text.replace('"hasNextPage":false', '"hasNextPage":true').replace(
        /"edges":\[.*\]/,
        '"edges":[]',
      )
      : text.replace(/"first":\{"sequenceNumber":\d+/, '"first":{"sequenceNumber":9999');
  });
  await assertRejects(() => slow.events(w.module, undefined, 10), LedgerUnavailable, "by now");
  // From the oldest it still has, where nothing else is asked for.
  const rest = await w.ledger.events(w.module, undefined, 100);
  assertEquals(rest.events.map((event) => event.contents[0]), [59]);
});

Deno.test("events() drops what is sent twice or again, and refuses disorder", async () => {
  await using w = await world();
  for (let i = 0; i < 12; i++) w.gateway.emit(ALICE, "E", Uint8Array.of(i));
  const first = await w.ledger.events(w.module, undefined, 5);
  const rest = [5, 6, 7, 8, 9, 10, 11];
  for (const kind of ["duplicate_events", "replay_events"] as const) {
    await using restarted = await openGraphqlLedger({ endpoint: w.node.graphqlUrl });
    for (const ledger of [w.ledger, restarted]) {
      w.node.faults.set({ kind });
      const page = await ledger.events(w.module, first.cursor, 100);
      assertEquals(page.events.map((event) => event.contents[0]), rest, kind);
      w.node.faults.clear();
    }
  }
  w.node.faults.set({ kind: "reverse_events" });
  await assertRejects(
    () => w.ledger.events(w.module, undefined, 100),
    LedgerProtocolError,
    "out of order",
  );
});

Deno.test("events() asks for fewer where the events are large", async () => {
  await using w = await world({ maxAnswerBytes: 300_000 });
  for (let i = 0; i < 9; i++) w.gateway.emit(ALICE, "Large", new Uint8Array(100_000).fill(i));
  assertEquals(await contents(w.ledger, w, 200), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  w.chain.prune(w.chain.tip.sequence - 3n);
  assertEquals(await contents(w.ledger, w, 200), [5, 6, 7, 8]);
});

Deno.test("events() ends where a server always has more and never says what", async () => {
  await using w = await world();
  w.gateway.emit(ALICE, "E", Uint8Array.of(1));
  let requests = 0;
  await using endless = await tampering(w, (text) => {
    requests++;
    return text.replace('"hasNextPage":false', '"hasNextPage":true')
      .replace(/"endCursor":("[^"]*"|null)/, `"endCursor":"${btoa(`{"t":0,"e":${requests}}`)}"`)
      .replace(/"edges":\[.*\]/, '"edges":[]');
  });
  await assertRejects(
    () => endless.events(w.module, undefined, 10),
    LedgerUnavailable,
    "no end after",
  );
  await using stuck = await tampering(
    w,
    (text) =>
      text.replace('"hasNextPage":false', '"hasNextPage":true')
        .replace(/"endCursor":("[^"]*"|null)/, '"endCursor":null'),
  );
  const error = await assertRejects(() => stuck.events(w.module, undefined, 10));
  assertInstanceOf(error, LedgerProtocolError);
});
