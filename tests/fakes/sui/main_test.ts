import { assert, assertEquals, assertRejects } from "@std/assert";
import { SealToken } from "../../../sui/bcs.ts";
import { openGrpcLedger } from "../../../sui/grpc_ledger.ts";
import { LedgerUnavailable } from "../../../sui/ledger.ts";
import { spawnFakeNode } from "./spawn.ts";

Deno.test("the stand-in node runs as a program and is driven over its control API", async () => {
  await using node = await spawnFakeNode(["--name", "test", "--cluster", "0a".repeat(16)]);
  await using ledger = await openGrpcLedger({ endpoint: node.url, chainId: node.chainId });
  const made = await node.control("token", {
    owner: "0xa11ce",
    node_id: "worker-1",
    stake_amount: "2000000000",
  });
  const tokenId = String(made["token_id"]);
  assertEquals(made["token"], `seal_${tokenId}`);
  const object = await ledger.getObject(tokenId);
  assert(object !== undefined);
  const token = SealToken.parse(object.contents);
  assertEquals(token.owner, "0x" + "a11ce".padStart(64, "0"));
  assertEquals(token.cluster_id.toHex(), "0a".repeat(16));

  await node.control("entry", { token_id: tokenId, status: "slashed", revoked: true });
  const { request_id: requestId } = await node.control("schedule", {
    requester: "0xb0b",
    method: "POST",
    resource: "ConfigMap",
    namespace: "default",
    name: "x",
    payload: "{}",
  });
  assertEquals(requestId, "req-1");
  const page = await ledger.events(
    { packageId: node.packageId, module: "k8s_gateway" },
    undefined,
    10,
  );
  assertEquals(page.events.map((event) => event.type.split("::")[2]), [
    "WorkerRegisteredEvent",
    "WorkerStatusChangedEvent",
    "SealTokenRevokedEvent",
    "K8sAPIRequestScheduledEvent",
  ]);
  await node.control("fault", { kind: "http_status", status: 503, times: 1 });
  await assertRejects(() => ledger.getObject(tokenId), LedgerUnavailable);
  assertEquals((await ledger.getObject(tokenId))?.id, tokenId);

  const state = await fetch(`${node.url}/control/state`);
  const { registry_id: registryId, events } = await state.json();
  assertEquals([registryId, events], [node.registryId, 4]);
});

Deno.test("the control API refuses unknown fields and bad values, naming them", async () => {
  await using node = await spawnFakeNode();
  const refused = (what: string, body: Record<string, unknown>, words: string) =>
    assertRejects(() => node.control(what, body), Error, words);
  await refused("token", { owner: "0x1" }, "node_id");
  await refused("token", { owner: "alice", node_id: "n" }, "owner");
  await refused("token", { owner: "0x1", node_id: "n", stake: 1 }, "stake");
  await refused("entry", { token_id: "0x1" }, "no entry");
  await refused("fault", { kind: "sulk" }, "kind");
  await refused("nonsense", {}, "no POST");
});
