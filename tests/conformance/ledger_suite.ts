/** What every `Ledger` does, run over each implementation. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertLess,
  assertNotEquals,
  assertRejects,
} from "@std/assert";
import { addressBytes, gatewayType, OBJECT_ID_TYPE } from "../../sui/address.ts";
import { SealToken, WorkerEntryField } from "../../sui/bcs.ts";
import {
  type Ledger,
  type LedgerEvent,
  LedgerHistoryPruned,
  LedgerProtocolError,
  LedgerUnavailable,
} from "../../sui/ledger.ts";
import { FakeChain } from "../fakes/sui/chain.ts";
import { FakeGateway } from "../fakes/sui/gateway.ts";

/** One implementation with a chain of its own behind it. */
export interface LedgerFixture extends AsyncDisposable {
  readonly ledger: Ledger;
  /** Makes the chain unreachable, or reachable again. */
  setReachable(reachable: boolean): void;
  /** Lets the ledger see the chain as it was so many checkpoints ago. */
  setLag(checkpoints: number): void;
}

export interface LedgerImplementation {
  readonly name: string;
  open(gateway: FakeGateway): Promise<LedgerFixture>;
}

const ALICE = "0x" + "a1".repeat(32);
const BOB = "0x" + "b0".repeat(32);
const START_MS = 1_790_000_000_000;

/** Registers the tests of the suite for one implementation. */
export function testLedger(implementation: LedgerImplementation): void {
  const test = (
    what: string,
    body: (context: {
      ledger: Ledger;
      gateway: FakeGateway;
      chain: FakeChain;
      fixture: LedgerFixture;
      module: { packageId: string; module: string };
    }) => Promise<void>,
  ) =>
    Deno.test(`${implementation.name}: ${what}`, async () => {
      let nowMs = START_MS;
      const clock = () => nowMs += 250;
      const chain = new FakeChain({ clock });
      const gateway = new FakeGateway({ chain, clock });
      await using fixture = await implementation.open(gateway);
      const module = { packageId: gateway.packageId, module: "k8s_gateway" };
      await body({ ledger: fixture.ledger, gateway, chain, fixture, module });
    });

  test("status() tells chain, checkpoint and its time", async ({ ledger, chain }) => {
    const before = await ledger.status();
    assertEquals(before.chainId, chain.chainId);
    assertEquals(before.checkpoint, chain.tip.sequence);
    assertEquals(before.checkpointTimestampMs, chain.tip.timestampMs);
    chain.advance(3);
    const after = await ledger.status();
    assertEquals(after.checkpoint, before.checkpoint + 3n);
    assertEquals(after.lowestCheckpoint, 0n);
  });

  test("getObject() gives type, owner, version, digest and contents", async ({ ledger, gateway, chain }) => {
    const { tokenId } = gateway.createToken({ owner: ALICE, nodeId: "node-a" });
    const object = await ledger.getObject(tokenId);
    assert(object !== undefined);
    assertEquals(object.id, tokenId);
    assertEquals(object.type, gatewayType(gateway.packageId, "SealToken"));
    assertEquals(object.owner, { kind: "address", address: ALICE });
    assertEquals(object.version, chain.latest(tokenId)?.version);
    assertEquals(object.digest, chain.latest(tokenId)?.digest);
    assertEquals(SealToken.parse(object.contents).node_id, "node-a");
    assertEquals(object.observed?.chainId, chain.chainId);
    assertEquals(object.observed?.checkpoint, chain.tip.sequence);
  });

  test("getObject() is undefined for what is not live", async ({ ledger, chain }) => {
    assertEquals(await ledger.getObject("0x" + "77".repeat(32)), undefined);
    const { result: id } = chain.execute(ALICE, (tx) => {
      const id = tx.newId();
      tx.create({
        id,
        type: gatewayType(BOB, "Thing"),
        owner: { kind: "immutable" },
        contents: addressBytes(id),
      });
      return id;
    });
    assertEquals((await ledger.getObject(id))?.owner, { kind: "immutable" });
    chain.execute(ALICE, (tx) => tx.remove(id));
    assertEquals(await ledger.getObject(id), undefined);
  });

  test("getObject() takes any spelling of an id and refuses what is none", async ({ ledger, gateway }) => {
    const { tokenId } = gateway.createToken({ owner: ALICE, nodeId: "node-a" });
    const upper = "0x" + tokenId.slice(2).toUpperCase();
    assertEquals((await ledger.getObject(upper))?.id, tokenId);
    await assertRejects(() => ledger.getObject("node-a"), TypeError, "object id");
  });

  test("getObject() shows a change as a new version and digest", async ({ ledger, gateway }) => {
    const { tokenId } = gateway.createToken({ owner: ALICE, nodeId: "node-a" });
    const before = await ledger.getObject(tokenId);
    gateway.setToken(tokenId, { expires_at_ms: 5n });
    const after = await ledger.getObject(tokenId);
    assertLess(before?.version ?? 0n, after?.version ?? 0n);
    assertNotEquals(before?.digest, after?.digest);
  });

  test("getObject() of many at once answers each", async ({ ledger, gateway }) => {
    const made = Array.from(
      { length: 120 },
      (_, i) => gateway.createToken({ owner: ALICE, nodeId: `node-${i}` }).tokenId,
    );
    const asked = [...made, made[3] ?? "", "0x" + "77".repeat(32)];
    const objects = await Promise.all(asked.map((id) => ledger.getObject(id)));
    assertEquals(objects.slice(0, 120).map((object) => object?.id), made);
    assertEquals(objects[120]?.id, made[3]);
    assertEquals(objects[121], undefined);
  });

  test("getObject() tells shared objects", async ({ ledger, gateway }) => {
    const registry = await ledger.getObject(gateway.registryId);
    assertEquals(registry?.owner.kind, "shared");
  });

  test("getDynamicField() finds an entry by its key, and nothing by another", async ({ ledger, gateway }) => {
    const { tokenId } = gateway.createToken({ owner: ALICE, nodeId: "node-a", stakeMist: 7n });
    const name = { type: OBJECT_ID_TYPE, bcs: addressBytes(tokenId) };
    const field = await ledger.getDynamicField(gateway.tableId, name);
    assert(field !== undefined);
    assertEquals(field.owner, { kind: "object", id: gateway.tableId });
    const decoded = WorkerEntryField.parse(field.contents);
    assertEquals([decoded.name, decoded.value.stake_amount], [tokenId, 7n]);
    const other = { type: OBJECT_ID_TYPE, bcs: addressBytes(BOB) };
    assertEquals(await ledger.getDynamicField(gateway.tableId, other), undefined);
    assertEquals(await ledger.getDynamicField(gateway.registryId, name), undefined);
  });

  test("events() gives the module's events, oldest first, and nothing else", async ({ ledger, gateway, chain, module }) => {
    gateway.createToken({ owner: ALICE, nodeId: "node-a" });
    chain.execute(BOB, (tx) => {
      tx.emit(gatewayType(BOB, "Foreign"), Uint8Array.of(1));
      // Called through another package, but the type is the gateway's.
      tx.emit(gatewayType(gateway.packageId, "First"), Uint8Array.of(2), {
        packageId: BOB,
        module: "router",
      });
      tx.emit(gatewayType(gateway.packageId, "Second"), Uint8Array.of(3));
      tx.emit(`${gateway.packageId}::other_module::First`, Uint8Array.of(4));
    });
    const page = await ledger.events(module, undefined, 100);
    assertEquals(page.hasMore, false);
    assertEquals(page.events.map((event) => event.type.split("::")[2]), [
      "WorkerRegisteredEvent",
      "First",
      "Second",
    ]);
    const [registered, first, second] = page.events;
    assertEquals(registered?.sender, ALICE);
    assertEquals(first?.sender, BOB);
    assertEquals([first?.packageId, first?.module], [BOB, "router"]);
    assertEquals([first?.eventIndex, second?.eventIndex], [1, 2]);
    assertEquals(first?.transactionDigest, second?.transactionDigest);
    assertEquals(first?.contents, Uint8Array.of(2));
    assertEquals(first?.checkpoint, chain.tip.sequence);
  });

  test("events() continues after any cursor it gave, with no event twice or lost", async ({ ledger, gateway, chain, module }) => {
    for (let i = 0; i < 5; i++) gateway.emit(ALICE, `E${i}`, Uint8Array.of(i));
    chain.execute(ALICE, (tx) => {
      for (let i = 5; i < 9; i++) {
        tx.emit(gatewayType(gateway.packageId, `E${i}`), Uint8Array.of(i));
      }
    });
    chain.advance(2);
    const all = await ledger.events(module, undefined, 100);
    const identity = (event: LedgerEvent) => `${event.transactionDigest}/${event.eventIndex}`;
    assertEquals(all.events.map((event) => event.contents[0]), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    for (const limit of [1, 2, 3, 9]) {
      const seen: string[] = [];
      let cursor: string | undefined;
      for (let guard = 0; guard < 20; guard++) {
        const page = await ledger.events(module, cursor, limit);
        seen.push(...page.events.map(identity));
        cursor = page.cursor;
        if (!page.hasMore) break;
      }
      assertEquals(seen, all.events.map(identity), `limit ${limit}`);
    }
    for (const [i, event] of all.events.entries()) {
      const rest = await ledger.events(module, event.cursor, 100);
      assertEquals(rest.events.map(identity), all.events.slice(i + 1).map(identity));
    }
  });

  test("events() gives a cursor that moves on even where nothing matched", async ({ ledger, gateway, chain, module }) => {
    const empty = await ledger.events(module, undefined, 10);
    assertEquals(empty.events, []);
    assert(empty.cursor !== undefined);
    chain.advance(10);
    const quiet = await ledger.events(module, empty.cursor, 10);
    assertEquals(quiet.events, []);
    assertNotEquals(quiet.cursor, empty.cursor);
    chain.prune(chain.tip.sequence);
    gateway.emit(ALICE, "Late", Uint8Array.of(9));
    const late = await ledger.events(module, quiet.cursor, 10);
    assertEquals(late.events.map((event) => event.contents[0]), [9]);
  });

  test("events() begins at a checkpoint where told to", async ({ ledger, gateway, chain, module }) => {
    gateway.emit(ALICE, "Old", Uint8Array.of(1));
    const from = chain.tip.sequence + 1n;
    gateway.emit(ALICE, "New", Uint8Array.of(2));
    const page = await ledger.events(module, { checkpoint: from }, 10);
    assertEquals(page.events.map((event) => event.contents[0]), [2]);
    const whole = await ledger.events(module, {}, 10);
    assertEquals(whole.events.map((event) => event.contents[0]), [1, 2]);
  });

  test("events() says that history was pruned instead of skipping it", async ({ ledger, gateway, chain, module }) => {
    gateway.emit(ALICE, "One", Uint8Array.of(1));
    const cursor = (await ledger.events(module, undefined, 1)).events[0]?.cursor;
    gateway.emit(ALICE, "Two", Uint8Array.of(2));
    chain.advance(5);
    chain.prune(chain.tip.sequence);
    await assertRejects(() => ledger.events(module, cursor, 10), LedgerHistoryPruned);
    await assertRejects(
      () => ledger.events(module, { checkpoint: 0n }, 10),
      LedgerHistoryPruned,
    );
  });

  test("events() from a node that fell behind gives nothing and keeps the cursor", async ({ ledger, gateway, chain, module, fixture }) => {
    gateway.emit(ALICE, "One", Uint8Array.of(1));
    chain.advance(4);
    const page = await ledger.events(module, undefined, 10);
    fixture.setLag(4);
    const behind = await ledger.events(module, page.cursor, 10);
    assertEquals([behind.events, behind.cursor], [[], page.cursor]);
    fixture.setLag(0);
    gateway.emit(ALICE, "Two", Uint8Array.of(2));
    const next = await ledger.events(module, behind.cursor, 10);
    assertEquals(next.events.map((event) => event.contents[0]), [2]);
  });

  test("events() refuses a cursor that is none and a limit out of range", async ({ ledger, module }) => {
    await assertRejects(() => ledger.events(module, "nonsense", 10), LedgerProtocolError);
    await assertRejects(() => ledger.events(module, undefined, 0), RangeError);
    await assertRejects(() => ledger.events(module, undefined, 1001), RangeError);
  });

  test("every call throws LedgerUnavailable while the chain is away, and works again after", async ({ ledger, gateway, fixture, module }) => {
    const { tokenId } = gateway.createToken({ owner: ALICE, nodeId: "node-a" });
    const name = { type: OBJECT_ID_TYPE, bcs: addressBytes(tokenId) };
    fixture.setReachable(false);
    await assertRejects(() => ledger.status(), LedgerUnavailable);
    await assertRejects(() => ledger.getObject(tokenId), LedgerUnavailable);
    await assertRejects(() => ledger.getObject("0x" + "77".repeat(32)), LedgerUnavailable);
    await assertRejects(() => ledger.getDynamicField(gateway.tableId, name), LedgerUnavailable);
    await assertRejects(() => ledger.events(module, undefined, 10), LedgerUnavailable);
    fixture.setReachable(true);
    assertEquals((await ledger.getObject(tokenId))?.id, tokenId);
  });

  test("an aborted call throws LedgerUnavailable", async ({ ledger, gateway, module }) => {
    const signal = AbortSignal.abort(new Error("enough"));
    await assertRejects(() => ledger.status(signal), LedgerUnavailable);
    await assertRejects(() => ledger.getObject(gateway.registryId, signal), LedgerUnavailable);
    const error = await assertRejects(
      () => ledger.events(module, undefined, 10, signal),
      LedgerUnavailable,
    );
    assertInstanceOf(error.cause, Error);
  });

  test("a closed ledger answers nothing", async ({ ledger, gateway }) => {
    await ledger[Symbol.asyncDispose]();
    await assertRejects(() => ledger.getObject(gateway.registryId), LedgerUnavailable);
  });
}
