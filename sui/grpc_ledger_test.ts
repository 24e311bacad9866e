import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import { FakeChain } from "../tests/fakes/sui/chain.ts";
import type { Fault } from "../tests/fakes/sui/faults.ts";
import { FakeGateway, MIST_PER_SUI } from "../tests/fakes/sui/gateway.ts";
import { type FakeNode, startFakeNode } from "../tests/fakes/sui/server.ts";
import { addressBytes, gatewayType, OBJECT_ID_TYPE } from "./address.ts";
import { SealToken } from "./bcs.ts";
import { type GrpcLedgerOptions, openGrpcLedger } from "./grpc_ledger.ts";
import { type Ledger, LedgerProtocolError, LedgerUnavailable } from "./ledger.ts";
import { createSealTokenValidator } from "./seal_token.ts";

const ALICE = "0x" + "a1".repeat(32);
const MALLORY = "0x" + "66".repeat(32);

interface World extends AsyncDisposable {
  readonly chain: FakeChain;
  readonly gateway: FakeGateway;
  readonly node: FakeNode;
  readonly ledger: Ledger;
  readonly module: { readonly packageId: string; readonly module: string };
}

async function world(options: Partial<GrpcLedgerOptions> = {}): Promise<World> {
  const chain = new FakeChain({ clock: Date.now });
  const gateway = new FakeGateway({ chain, clock: Date.now });
  const node = await startFakeNode({ gateway });
  const ledger = await openGrpcLedger({ endpoint: node.url, ...options });
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

Deno.test("openGrpcLedger() refuses what is no http endpoint", async () => {
  await assertRejects(() => openGrpcLedger({ endpoint: "ftp://node" }), TypeError, "http");
  await assertRejects(() => openGrpcLedger({ endpoint: "node" }), TypeError);
});

Deno.test("every failure of the network is LedgerUnavailable, never a no", async () => {
  await using w = await world({ timeoutMs: 150, maxAnswerBytes: 1024 * 1024 });
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const faults: Fault[] = [
    { kind: "http_status", status: 404 },
    { kind: "http_status", status: 503 },
    { kind: "http_status", status: 200 },
    { kind: "html" },
    { kind: "garbage" },
    { kind: "drop", afterBytes: 3 },
    { kind: "drop", afterBytes: 60 },
    { kind: "hang" },
    { kind: "flood" },
    { kind: "grpc_status", code: 5 },
    { kind: "grpc_status", code: 14 },
    { kind: "grpc_status", code: 13 },
    { kind: "grpc_status", code: 16 },
    { kind: "grpc_status", code: 8 },
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
      assertInstanceOf(error.cause, Error);
    }
    await assertRejects(() => w.ledger.status(), LedgerUnavailable);
    await assertRejects(() => w.ledger.events(w.module, undefined, 5), LedgerUnavailable);
    w.node.faults.clear();
  }
  assertEquals((await w.ledger.getObject(tokenId))?.id, tokenId);
});

Deno.test("nobody listening is LedgerUnavailable", async () => {
  const gone = await world();
  await gone.node[Symbol.asyncDispose]();
  await assertRejects(() => gone.ledger.status(), LedgerUnavailable);
  await gone.ledger[Symbol.asyncDispose]();
});

Deno.test("a request takes its time limit at most", async () => {
  await using w = await world({ timeoutMs: 100 });
  w.node.faults.set({ kind: "hang" });
  const startedMs = performance.now();
  await assertRejects(
    () => w.ledger.getObject(w.gateway.registryId),
    LedgerUnavailable,
    "no answer within 100 ms",
  );
  assertLess(performance.now() - startedMs, 1000);
});

Deno.test("closing the ledger ends what is on its way", async () => {
  await using w = await world();
  w.node.faults.set({ kind: "hang" });
  const waiting = assertRejects(() => w.ledger.status(), LedgerUnavailable, "closed");
  await w.ledger[Symbol.asyncDispose]();
  await waiting;
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

Deno.test("getObject() joins what is asked at once into one request", async () => {
  await using w = await world();
  const ids = Array.from(
    { length: 20 },
    (_, i) => w.gateway.createToken({ owner: ALICE, nodeId: `n${i}` }).tokenId,
  );
  await Promise.all(ids.map((id) => w.ledger.getObject(id)));
  assertEquals(w.node.calls.get("BatchGetObjects"), 1);
});

Deno.test("a chain other than the pinned one is refused on every answer", async () => {
  await using w = await world({ chainId: "1".repeat(43) });
  await assertRejects(() => w.ledger.status(), LedgerProtocolError, "expected");
  await assertRejects(() => w.ledger.getObject(w.gateway.registryId), LedgerProtocolError);
  await using learned = await world();
  await learned.ledger.status();
  learned.node.faults.set({ kind: "other_chain", chainId: "2".repeat(43) });
  await assertRejects(
    () => learned.ledger.getObject(learned.gateway.registryId),
    LedgerProtocolError,
  );
  await assertRejects(
    () => learned.ledger.events(learned.module, undefined, 5),
    LedgerProtocolError,
  );
});

Deno.test("an answer that cannot be is LedgerProtocolError and names the field", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  w.node.faults.set({ kind: "wrong_object", id: w.gateway.registryId });
  await assertRejects(() => w.ledger.getObject(tokenId), LedgerProtocolError, "object_id");
  w.node.faults.clear();
  for (const field of ["object_id", "version", "digest", "owner", "object_type"]) {
    w.node.faults.set({ kind: "omit_fields", fields: [field] });
    await assertRejects(
      () => w.ledger.getObject(tokenId),
      LedgerProtocolError,
      field.split("_")[0],
    );
    w.node.faults.clear();
  }
  w.node.faults.set({ kind: "omit_fields", fields: ["chainId"] });
  await assertRejects(() => w.ledger.status(), LedgerProtocolError, "chain_id");
  w.node.faults.clear();
  w.node.faults.set({ kind: "lie_object", id: tokenId, type: "0x2::coin" });
  await assertRejects(() => w.ledger.getObject(tokenId), LedgerProtocolError, "object_type");
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

Deno.test("getDynamicField() refuses an object that is no field of that parent", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const name = { type: OBJECT_ID_TYPE, bcs: addressBytes(tokenId) };
  const fieldId = w.gateway.entryFieldId(tokenId);
  const contents = w.chain.latest(fieldId)?.contents ?? new Uint8Array();
  w.node.faults.set({ kind: "lie_object", id: fieldId, ownerAddress: MALLORY });
  await assertRejects(
    () => w.ledger.getDynamicField(w.gateway.tableId, name),
    LedgerProtocolError,
    "owner",
  );
  for (const at of [0, 31, 32, 63]) {
    w.node.faults.clear();
    const lie = contents.slice();
    lie[at] = (lie[at] ?? 0) ^ 1;
    w.node.faults.set({ kind: "lie_object", id: fieldId, contentsHex: lie.toHex() });
    await assertRejects(
      () => w.ledger.getDynamicField(w.gateway.tableId, name),
      LedgerProtocolError,
      "another id or key",
    );
  }
});

Deno.test("a lying node cannot make a token of what is none, whatever byte it changes", async () => {
  await using w = await world();
  const { tokenId } = w.gateway.createToken({ owner: ALICE, nodeId: "node-a" });
  const contents = w.chain.latest(tokenId)?.contents ?? new Uint8Array();
  const decide = async () => {
    const validator = createSealTokenValidator({
      ledger: w.ledger,
      packageId: w.gateway.packageId,
      registryId: w.gateway.registryId,
      minimumStakeMist: MIST_PER_SUI,
      clock: Date.now,
      allowLegacyBearer: true,
    });
    try {
      const decision = await validator.check(tokenId, "node-a");
      return decision.valid ? "valid" : decision.code;
    } catch (error) {
      if (error instanceof LedgerProtocolError) return "protocol";
      throw error;
    }
  };
  assertEquals(await decide(), "valid");
  const lies: [Partial<Extract<Fault, { kind: "lie_object" }>>, string][] = [
    [{ type: gatewayType(MALLORY, "SealToken") }, "wrong_type"],
    [{ type: gatewayType(w.gateway.packageId, "sealtoken") }, "wrong_type"],
    [{ type: `${gatewayType(w.gateway.packageId, "SealToken")}<u8>` }, "wrong_type"],
    [{ ownerAddress: MALLORY }, "wrong_owner"],
    [{ contentsHex: "" }, "protocol"],
    [{ contentsHex: contents.toHex() + "00" }, "protocol"],
  ];
  for (const [lie, expected] of lies) {
    w.node.faults.clear();
    w.node.faults.set({ kind: "lie_object", id: tokenId, ...lie });
    assertEquals(await decide(), expected, JSON.stringify(lie));
  }
  // Every single bit of the token: refused, unless it lies in what the decision does not rest on.
  const spared = SealToken.parse(contents);
  const free = (at: number) => {
    const changed = contents.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    try {
      const token = SealToken.parse(changed);
      return token.cluster_id.toHex() === spared.cluster_id.toHex() &&
        token.id === spared.id && token.owner === spared.owner &&
        token.node_id === spared.node_id && token.node_key_hash.length === 32 &&
        SealToken.serialize(token).toBytes().toHex() === changed.toHex();
    } catch {
      return false;
    }
  };
  for (let at = 0; at < contents.length; at++) {
    if (free(at)) continue;
    const lie = contents.slice();
    lie[at] = (lie[at] ?? 0) ^ 1;
    w.node.faults.clear();
    w.node.faults.set({ kind: "lie_object", id: tokenId, contentsHex: lie.toHex() });
    const decision = await decide();
    assert(decision !== "valid", `byte ${at}`);
  }
});

Deno.test("events() asks for fewer where the events are large", async () => {
  await using w = await world({ maxAnswerBytes: 300_000 });
  for (let i = 0; i < 9; i++) w.gateway.emit(ALICE, "Large", new Uint8Array(100_000).fill(i));
  const seen: (number | undefined)[] = [];
  let cursor: string | undefined;
  for (let guard = 0; guard < 20; guard++) {
    const page = await w.ledger.events(w.module, cursor, 200);
    seen.push(...page.events.map((event) => event.contents[0]));
    cursor = page.cursor;
    if (!page.hasMore) break;
  }
  assertEquals(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("events() goes on from cursors of version 1, and from places without the node's own", async () => {
  await using w = await world();
  w.chain.autoCheckpoint = false;
  for (let i = 0; i < 9; i++) {
    w.gateway.emit(ALICE, "E", Uint8Array.of(i));
    if (i % 4 === 3) w.chain.advance();
  }
  w.chain.advance();
  const page = await w.ledger.events(w.module, undefined, 100);
  const rest = async (cursor: string | undefined) =>
    (await w.ledger.events(w.module, cursor, 100)).events.map((event) => event.contents[0]);
  for (const [i, { cursor }] of page.events.entries()) {
    const [, checkpoint, transaction, event, digest, token] = cursor.split(":");
    const wanted = [0, 1, 2, 3, 4, 5, 6, 7, 8].slice(i + 1);
    assertEquals(await rest(cursor), wanted);
    assertEquals(await rest(`v1:${checkpoint}:${transaction}:${event}:${token}`), wanted);
    assertEquals(await rest(`v2:${checkpoint}:${transaction}:${event}:${digest}:`), wanted);
    assertEquals(await rest(`v2:${checkpoint}:-:${event}:${digest}:`), wanted);
  }
  const [, checkpoint, , , , token] = (page.cursor ?? "").split(":");
  w.gateway.emit(ALICE, "E", Uint8Array.of(9));
  w.chain.advance();
  assertEquals(await rest(`v1:${checkpoint}:-:-:${token}`), [9]);
  assertEquals(await rest(`v2:${checkpoint}:-:-:-:`), [9]);
});
