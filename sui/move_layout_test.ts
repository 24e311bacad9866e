/** The bytes that the Move unit tests expect of every struct and event, against `@mysten/bcs`. */
import { assertEquals } from "@std/assert";
import type { BcsType } from "@mysten/bcs";
import { SealToken, WorkerEntry, WorkerRegistry } from "./bcs.ts";
import {
  K8sAPIRequestScheduledEvent,
  K8sAPIResultEvent,
  SealTokenRevokedEvent,
  WorkerRegisteredEvent,
  WorkerStatusChangedEvent,
} from "./chain_event.ts";

const ALICE = "0x" + "a1".padStart(64, "0");
const TOKEN = "0x" + "ee".repeat(32);
const TIMESTAMP = 1_790_000_000_000n;

function bytes<T>(type: BcsType<T, T>, value: T): string {
  return type.serialize(value).toBytes().toHex();
}

const EXPECTED: Readonly<Record<string, string>> = {
  WorkerEntry: bytes(WorkerEntry, {
    owner: ALICE,
    node_id: "node-a",
    stake_amount: 5_000_000_000n,
    status: 1,
    revoked: true,
    updated_at_ms: TIMESTAMP,
  }),
  // Without the id that it begins with.
  SealToken: bytes(SealToken, {
    id: TOKEN,
    cluster_id: new Uint8Array(16).fill(1),
    owner: ALICE,
    node_id: "node-a",
    node_key_hash: new Uint8Array(32).fill(7),
    permissions: ["register"],
    issued_at_ms: 0n,
    expires_at_ms: 1_000_000n,
  }).slice(64),
  // The cluster id only: the others are ids and the size.
  WorkerRegistry: bytes(WorkerRegistry, {
    id: TOKEN,
    cluster_id: new Uint8Array(16).fill(1),
    entries: { id: TOKEN, size: 1n },
  }).replaceAll("ee".repeat(32), ""),
  WorkerRegisteredEvent: bytes(WorkerRegisteredEvent, {
    node_id: "node-a",
    owner: ALICE,
    stake_amount: 5_000_000_000n,
    seal_token: TOKEN,
    timestamp: TIMESTAMP,
  }),
  WorkerStatusChangedEvent: bytes(WorkerStatusChangedEvent, {
    node_id: "node-a",
    old_status: 1,
    new_status: 3,
    timestamp: TIMESTAMP,
  }),
  SealTokenRevokedEvent: bytes(SealTokenRevokedEvent, {
    node_id: "node-a",
    seal_token: TOKEN,
    timestamp: TIMESTAMP,
  }),
  K8sAPIRequestScheduledEvent: bytes(K8sAPIRequestScheduledEvent, {
    request_id: "r-1",
    method: "POST",
    resource: "ConfigMap",
    namespace: "default",
    name: "x",
    payload: "{}",
    seal_token: TOKEN,
    requester: ALICE,
    priority: 10,
    assigned_worker: "node-a",
    timestamp: TIMESTAMP,
  }),
  K8sAPIResultEvent: bytes(K8sAPIResultEvent, {
    request_id: "r-1",
    assigned_worker: "node-a",
    success: true,
    output: "sha256:00",
    error: "",
    execution_time_ms: 12n,
    timestamp: TIMESTAMP,
  }),
};

Deno.test("the Move tests expect the bytes that are read here", async () => {
  const source = await Deno.readTextFile(
    new URL("./move/tests/layout_tests.move", import.meta.url),
  );
  const found = Object.fromEntries(
    [...source.matchAll(/\/\/ layout (\w+)\n\s*x"([0-9a-f]*)"/g)].map((m) => [m[1], m[2]]),
  );
  assertEquals(found, { ...EXPECTED });
});

Deno.test("every event of the Move module is read here, with the same fields in the same order", async () => {
  const source = await Deno.readTextFile(
    new URL("./move/sources/k8s_gateway.move", import.meta.url),
  );
  const events = Object.fromEntries(
    [...source.matchAll(/public struct (\w+Event) has copy, drop \{([^}]*)\}/g)].map((m) => [
      m[1],
      [...(m[2] ?? "").matchAll(/(\w+): (\w+)/g)].map((f) => `${f[1]}: ${f[2]}`),
    ]),
  );
  assertEquals(events, {
    WorkerRegisteredEvent: [
      "node_id: String",
      "owner: address",
      "stake_amount: u64",
      "seal_token: ID",
      "timestamp: u64",
    ],
    WorkerStatusChangedEvent: [
      "node_id: String",
      "old_status: u8",
      "new_status: u8",
      "timestamp: u64",
    ],
    SealTokenRevokedEvent: ["node_id: String", "seal_token: ID", "timestamp: u64"],
    K8sAPIRequestScheduledEvent: [
      "request_id: String",
      "method: String",
      "resource: String",
      "namespace: String",
      "name: String",
      "payload: String",
      "seal_token: ID",
      "requester: address",
      "priority: u8",
      "assigned_worker: String",
      "timestamp: u64",
    ],
    K8sAPIResultEvent: [
      "request_id: String",
      "assigned_worker: String",
      "success: bool",
      "output: String",
      "error: String",
      "execution_time_ms: u64",
      "timestamp: u64",
    ],
  });
});
