import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  BcsDecodeError,
  decodeStrict,
  MAX_CONTENTS_BYTES,
  SealToken,
  WorkerEntryField,
  WorkerRegistry,
} from "./bcs.ts";
import {
  decodeChainEvent,
  K8sAPIRequest,
  K8sAPIRequestScheduledEvent,
  WorkerStatusChangedEvent,
} from "./chain_event.ts";
import type { LedgerEvent } from "./ledger.ts";

const address = fc.uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => "0x" + Uint8Array.from(bytes).toHex());
const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
/** Any text but lone surrogates, which UTF-8 cannot hold, and a leading byte order mark. */
const text = fc.string({ unit: "binary", maxLength: 40 })
  .filter((value) => !value.startsWith("\uFEFF"));

const sealToken = fc.record({
  id: address,
  cluster_id: fc.uint8Array({ maxLength: 20 }).map((bytes) => Uint8Array.from(bytes)),
  owner: address,
  node_id: text,
  node_key_hash: fc.uint8Array({ maxLength: 40 }).map((bytes) => Uint8Array.from(bytes)),
  permissions: fc.array(text, { maxLength: 5 }),
  issued_at_ms: u64,
  expires_at_ms: u64,
}, { noNullPrototype: true });

Deno.test("SealToken has the bytes of its Move struct", () => {
  const bytes = SealToken.serialize({
    id: "0x" + "11".repeat(32),
    cluster_id: new Uint8Array(16).fill(2),
    owner: "0x" + "33".repeat(32),
    node_id: "node-ä",
    node_key_hash: new Uint8Array(32).fill(4),
    permissions: ["a", "bc"],
    issued_at_ms: 1n,
    expires_at_ms: 2n ** 64n - 1n,
  }).toBytes();
  assertEquals(
    bytes.toHex(),
    "11".repeat(32) + "10" + "02".repeat(16) + "33".repeat(32) + "07" + "6e6f64652dc3a4" +
      "20" + "04".repeat(32) + "02" + "0161" + "026263" + "0100000000000000" + "ff".repeat(8),
  );
});

Deno.test("decodeStrict() gives back what was encoded", () => {
  fc.assert(fc.property(sealToken, (value) => {
    assertEquals(decodeStrict(SealToken, SealToken.serialize(value).toBytes()), value);
  }));
});

Deno.test("decodeStrict() refuses every truncation, extension and overlong length", () => {
  fc.assert(
    fc.property(sealToken, fc.nat(), (value, at) => {
      const bytes = SealToken.serialize(value).toBytes();
      const cut = bytes.slice(0, at % bytes.length);
      assertThrows(() => decodeStrict(SealToken, cut), BcsDecodeError, "SealToken");
      const longer = new Uint8Array([...bytes, 0]);
      assertThrows(() => decodeStrict(SealToken, longer), BcsDecodeError);
    }),
    { numRuns: 50 },
  );
  const registry = WorkerRegistry.serialize({
    id: "0x" + "11".repeat(32),
    cluster_id: new Uint8Array(16),
    entries: { id: "0x" + "22".repeat(32), size: 3n },
  }).toBytes();
  // ULEB128 length 16 as 0x90 0x00.
  const overlong = new Uint8Array([
    ...registry.subarray(0, 32),
    0x90,
    0x00,
    ...registry.subarray(33),
  ]);
  assertThrows(() => decodeStrict(WorkerRegistry, overlong), BcsDecodeError);
  assertThrows(
    () => decodeStrict(WorkerRegistry, new Uint8Array(MAX_CONTENTS_BYTES + 1)),
    BcsDecodeError,
    "more than",
  );
});

Deno.test("decodeStrict() does not read past a view into its buffer", () => {
  const whole = SealToken.serialize({
    id: "0x" + "11".repeat(32),
    cluster_id: new Uint8Array(16),
    owner: "0x" + "33".repeat(32),
    node_id: "n",
    node_key_hash: new Uint8Array(32),
    permissions: [],
    issued_at_ms: 1n,
    expires_at_ms: 2n,
  }).toBytes();
  const larger = new Uint8Array([...whole, ...whole]);
  assertEquals(decodeStrict(SealToken, larger.subarray(0, whole.length)).node_id, "n");
  // The view ends within node_key_hash, the buffer goes on.
  assertThrows(() => decodeStrict(SealToken, larger.subarray(0, 90)), BcsDecodeError);
});

Deno.test("decodeStrict() refuses broken UTF-8 and booleans that are neither", () => {
  const bytes = WorkerEntryField.serialize({
    id: "0x" + "11".repeat(32),
    name: "0x" + "22".repeat(32),
    value: {
      owner: "0x" + "33".repeat(32),
      node_id: "ab",
      stake_amount: 1n,
      status: 1,
      revoked: false,
      updated_at_ms: 0n,
    },
  }).toBytes();
  const broken = bytes.slice();
  broken[97] = 0xff;
  assertThrows(() => decodeStrict(WorkerEntryField, broken), BcsDecodeError);
  const surrogate = bytes.slice();
  surrogate.set([0xed, 0xa0], 97);
  assertThrows(() => decodeStrict(WorkerEntryField, surrogate), BcsDecodeError);
  const neither = bytes.slice();
  neither[bytes.length - 9] = 2;
  assertThrows(() => decodeStrict(WorkerEntryField, neither), BcsDecodeError);
});

const PACKAGE = "0x" + "c0".repeat(32);
const SENDER = "0x" + "a1".repeat(32);
const event = (name: string, contents: Uint8Array): LedgerEvent => ({
  transactionDigest: "1".repeat(32),
  eventIndex: 0,
  checkpoint: 1n,
  timestampMs: undefined,
  packageId: PACKAGE,
  module: "k8s_gateway",
  type: `${PACKAGE}::k8s_gateway::${name}`,
  sender: SENDER,
  contents: Uint8Array.from(contents),
  cursor: "c",
});

Deno.test("decodeChainEvent() reads both shapes of a Kubernetes request", () => {
  const scheduled = decodeChainEvent(
    PACKAGE,
    event(
      "K8sAPIRequestScheduledEvent",
      K8sAPIRequestScheduledEvent.serialize({
        request_id: "r1",
        method: "POST",
        resource: "ConfigMap",
        namespace: "default",
        name: "x",
        payload: "{}",
        seal_token: "0x" + "11".repeat(32),
        requester: SENDER,
        priority: 10,
        assigned_worker: "",
        timestamp: 9n,
      }).toBytes(),
    ),
  );
  assertEquals(scheduled, {
    kind: "k8s_request",
    request: {
      method: "POST",
      namespace: "default",
      resource: "ConfigMap",
      name: "x",
      path: undefined,
      payload: "{}",
      requester: SENDER,
      requestId: "r1",
      priority: 10,
      assignedWorker: "",
      sealTokenId: "0x" + "11".repeat(32),
      timestampMs: 9n,
    },
  });
  const original = decodeChainEvent(
    PACKAGE,
    event(
      "K8sAPIRequest",
      K8sAPIRequest.serialize({
        method: "GET",
        path: "/api/v1/namespaces/default/pods",
        namespace: "default",
        resource_type: "pods",
        payload: "",
        sender: SENDER,
        timestamp: 9n,
      }).toBytes(),
    ),
  );
  assertEquals(
    original.kind === "k8s_request" && original.request.path,
    "/api/v1/namespaces/default/pods",
  );
});

Deno.test("decodeChainEvent() does not believe a requester who did not sign", () => {
  const decoded = decodeChainEvent(
    PACKAGE,
    event(
      "K8sAPIRequestScheduledEvent",
      K8sAPIRequestScheduledEvent.serialize({
        request_id: "r1",
        method: "POST",
        resource: "ConfigMap",
        namespace: "default",
        name: "x",
        payload: "{}",
        seal_token: "0x" + "11".repeat(32),
        requester: "0x" + "66".repeat(32),
        priority: 1,
        assigned_worker: "",
        timestamp: 9n,
      }).toBytes(),
    ),
  );
  assertEquals(decoded.kind, "undecodable");
});

Deno.test("decodeChainEvent() makes values of poison and of what it does not know", () => {
  assertEquals(decodeChainEvent(PACKAGE, event("Newer", Uint8Array.of(1))).kind, "unknown");
  const foreign = { ...event("K8sAPIRequest", Uint8Array.of()), type: "0x1::k8s_gateway::X" };
  assertEquals(decodeChainEvent(PACKAGE, foreign).kind, "undecodable");
  const status = WorkerStatusChangedEvent.serialize({
    node_id: "n",
    old_status: 1,
    new_status: 5,
    timestamp: 1n,
  }).toBytes();
  assertEquals(
    decodeChainEvent(PACKAGE, event("WorkerStatusChangedEvent", status)).kind,
    "undecodable",
  );
  const names = [
    "K8sAPIRequestScheduledEvent",
    "K8sAPIRequest",
    "K8sAPIResultEvent",
    "WorkerRegisteredEvent",
    "WorkerStatusChangedEvent",
    "SealTokenRevokedEvent",
  ];
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.uint8Array({ maxLength: 200 }), (name, bytes) => {
      const { kind } = decodeChainEvent(PACKAGE, event(name, bytes));
      assertEquals(typeof kind, "string"); // and it did not throw
    }),
    { numRuns: 500 },
  );
});
