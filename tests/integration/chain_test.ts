/** What the operator pins of the chain, on the built file: chain id, age, agreement, zkLogin. */
import { assert, assertEquals, assertNotEquals, assertStringIncludes } from "@std/assert";
import { generateKeyPairSync, sign } from "node:crypto";
import { proveAdmission } from "../../sui/admission_proof.ts";
import { nodeKeyHash } from "../../sui/admission_message.ts";
import { type SpawnedNode, spawnFakeNode } from "../fakes/sui/spawn.ts";
import { zkLoginSignature } from "../fakes/sui/wallets.ts";
import { asRecord, makePlace, type Master, runBinary, startMaster } from "./harness.ts";

type Json = Readonly<Record<string, unknown>>;

/** Until it is so. @throws {Error} with what was seen last, after a minute */
async function until(wanted: string, look: () => Promise<unknown>): Promise<void> {
  let seen: unknown;
  for (let i = 0; i < 1200; i++) {
    seen = await look();
    if (seen === wanted) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited for ${wanted}, saw ${String(seen)}`);
}

async function post(
  master: Master,
  path: string,
  body: unknown,
): Promise<{ readonly status: number; readonly body: Json }> {
  const response = await fetch(`${master.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: asRecord(await response.json()) };
}

async function health(master: Master): Promise<Json> {
  return asRecord(await (await fetch(`${master.url}/health`)).json());
}

async function configDigest(master: Master): Promise<unknown> {
  const bundle = asRecord(await (await fetch(`${master.url}/api/v1/attestation`)).json());
  const signed = new TextDecoder().decode(Uint8Array.fromBase64(String(bundle["signed"])));
  return asRecord(JSON.parse(signed))["config_digest"];
}

let workers = 0;

async function register(master: Master, chain: SpawnedNode): Promise<string> {
  return await present(master, await newToken(chain));
}

/** One for every question: decisions are kept for a while. */
async function newToken(chain: SpawnedNode): Promise<{ nodeId: string; token: string }> {
  const nodeId = `worker-${++workers}`;
  const { token } = await chain.control("token", {
    owner: `0x${"ab".repeat(32)}`,
    stake_amount: "5000000000",
    node_id: nodeId,
  });
  return { nodeId, token: String(token) };
}

async function present(
  master: Master,
  { nodeId, token }: { nodeId: string; token: string },
): Promise<string> {
  const { status, body } = await post(master, "/api/v1/register-worker", {
    node_id: nodeId,
    seal_token: token,
    timestamp: 1,
  });
  return status === 200 ? "admitted" : `${status} ${body["code"]}`;
}

function settings(chain: SpawnedNode, endpoints = chain.url): Record<string, string> {
  return {
    CONTRACT_ADDRESS: chain.packageId,
    SUI_RPC_ENDPOINT: endpoints,
    NAUTILUS_SUI_REGISTRY: chain.registryId,
    NAUTILUS_CLUSTER_ID: chain.clusterId,
    NAUTILUS_LEGACY_BEARER_TOKENS: "true",
  };
}

Deno.test("serve refuses the word of another chain than the one it is told", async () => {
  await using chain = await spawnFakeNode();
  await using other = await spawnFakeNode(["--name", "another"]);
  await using place = await makePlace();
  const digests: unknown[] = [];
  {
    await using master = await startMaster(place, [], {
      ...settings(chain),
      NAUTILUS_SUI_CHAIN_ID: chain.chainId,
    });
    assertEquals(await register(master, chain), "admitted");
    digests.push(await configDigest(master));
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  await using master = await startMaster(place, [], {
    ...settings(other),
    NAUTILUS_SUI_CHAIN_ID: chain.chainId,
  });
  digests.push(await configDigest(master));
  assertNotEquals(digests[0], digests[1]);
  const refused = await register(master, other);
  assert(/^50[23] chain_/.test(refused), refused);
  await until("unreachable", async () => (await health(master))["sui_events"]);
  assertStringIncludes(String((await health(master))["sui_events_detail"]), chain.chainId);
});

Deno.test("serve admits nobody on the word of a node that stands still", async () => {
  await using chain = await spawnFakeNode();
  await using place = await makePlace();
  await using master = await startMaster(place, [], {
    ...settings(chain),
    NAUTILUS_MAX_CHAIN_AGE_SECONDS: "1",
  });
  const held = await newToken(chain);
  await chain.control("checkpoint", { auto: false });
  await until("unreachable", async () => (await health(master))["sui_events"]);
  assertStringIncludes(String((await health(master))["sui_events_detail"]), "ms old");
  assertEquals(await present(master, held), "503 chain_unreachable");
});

Deno.test("serve admits where its endpoints agree, and nobody where the chain has forked", async () => {
  await using chain = await spawnFakeNode();
  await using fork = await spawnFakeNode();
  await using place = await makePlace();
  {
    const twice = `${chain.url},${chain.url.replace("127.0.0.1", "localhost")}`;
    await using master = await startMaster(place, [], settings(chain, twice));
    assertEquals((await health(master))["chain_trust"], "quorum");
    assertEquals(await register(master, chain), "admitted");
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  await using master = await startMaster(place, [], settings(chain, `${chain.url},${fork.url}`));
  assertEquals(await register(master, chain), "503 chain_unreachable");
});

Deno.test("serve takes a GraphQL service as second opinion, or alone, and follows events through it", async () => {
  await using chain = await spawnFakeNode();
  await using fork = await spawnFakeNode();
  const graphql = (node: SpawnedNode) => `graphql+${node.url}/graphql`;
  for (
    const [endpoints, trust] of [[`${graphql(chain)},${chain.url}`, "quorum"], [
      graphql(chain),
      "single",
    ]] as const
  ) {
    await using place = await makePlace();
    await using master = await startMaster(place, [], {
      ...settings(chain, endpoints),
      NAUTILUS_SUI_MASTER_CAP: `0x${"77".repeat(32)}`,
    });
    const document = await health(master);
    assertEquals(document["chain_trust"], trust);
    // GraphQL is only read.
    assertEquals(document["result_write_back"] === "off", trust === "single");
    if (trust === "single") {
      assertStringIncludes(String(document["result_write_back_detail"]), "gRPC");
    }
    assertEquals(await register(master, chain), "admitted");
    const held = await newToken(chain);
    assertEquals(await present(master, held), "admitted");
    // What the chain takes back is gone with the event, not with the next look at the token.
    const token_id = held.token.slice("seal_".length);
    await chain.control("entry", { token_id, status: "slashed", revoked: true });
    await until("refused", async () => {
      const answer = await present(master, held);
      return answer === "admitted" ? answer : "refused";
    });
    await until("connected", async () => (await health(master))["sui_events"]);
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  await using place = await makePlace();
  const split = `${chain.url},${graphql(fork)}`;
  await using master = await startMaster(place, [], settings(chain, split));
  assertEquals(await register(master, chain), "503 chain_unreachable");
});

Deno.test("serve admits a zkLogin wallet where that is accepted, and its full node says yes", async () => {
  await using chain = await spawnFakeNode();
  const { address } = await zkLoginSignature(new Uint8Array(1));
  const node = generateKeyPairSync("ed25519");
  const spki = Uint8Array.from(node.publicKey.export({ type: "spki", format: "der" }));
  const made = await chain.control("token", {
    owner: address,
    stake_amount: "5000000000",
    node_id: "worker-z",
    node_key_hash: nodeKeyHash(spki),
  });
  const join = async (master: Master, confirmed: boolean) => {
    let challenge = await post(master, "/api/v1/admission/challenge", {
      node_id: "worker-z",
      address,
    });
    while (challenge.status === 503) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      challenge = await post(master, "/api/v1/admission/challenge", {
        node_id: "worker-z",
        address,
      });
    }
    const { body } = challenge;
    const facts = {
      chainId: String(body["chain_id"]),
      clusterId: Uint8Array.fromHex(String(body["cluster_id"])),
      measurement: Uint8Array.fromHex(String(body["measurement"])),
      identityKey: Uint8Array.fromBase64(String(body["identity_key"])),
      tlsKey: Uint8Array.fromBase64(String(body["tls_key"])),
    };
    const proof = await proveAdmission({
      challenge: {
        ...facts,
        nodeId: "worker-z",
        address,
        challenge: Uint8Array.fromHex(String(body["challenge"])),
        issuedAtMs: Number(body["issued_at_ms"]),
        expiresAtMs: Number(body["expires_at_ms"]),
      },
      appraised: facts,
      nodeId: "worker-z",
      tokenId: String(made["token_id"]),
      wallet: {
        address,
        async signPersonalMessage(message) {
          const { signature } = await zkLoginSignature(message);
          const said = { signature, address, message: Uint8Array.from(message).toHex() };
          if (confirmed) await chain.control("zklogin", said);
          return signature;
        },
      },
      nodeKey: { spki, sign: (input) => Uint8Array.from(sign(null, input, node.privateKey)) },
      nowMs: Date.now(),
    });
    const answer = await post(master, "/api/v1/register-worker", {
      node_id: "worker-z",
      seal_token: `seal_${proof.tokenId}`,
      timestamp: 1,
      proof: {
        address,
        node_key: proof.nodeKey.toBase64(),
        challenge: proof.challenge.toHex(),
        wallet_signature: proof.walletSignature,
        node_signature: proof.nodeSignature.toBase64(),
      },
    });
    return answer.status === 200 ? "admitted" : String(answer.body["code"]);
  };
  await using place = await makePlace();
  {
    await using master = await startMaster(place, [], settings(chain));
    assertEquals(await join(master, true), "unsupported_scheme");
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  await using master = await startMaster(place, ["--accept-zk-login"], settings(chain));
  assertEquals(await join(master, false), "wrong_wallet_signature");
  assertEquals(await join(master, true), "admitted");
});

Deno.test("serve writes results back on chain once its signer has a MasterCap and gas, and says so", async () => {
  await using chain = await spawnFakeNode();
  await using place = await makePlace();
  {
    await using master = await startMaster(place, [], settings(chain));
    const { result_write_back: state, result_signer: signer } = await health(master);
    assertEquals([state, signer], ["off", null]);
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  // Issued to the operator first: whom to give it to is known once the master has a signer.
  const { cap_id: unowned } = await chain.control("master_cap", { owner: "0x1" });
  const requester = `0x${"cd".repeat(32)}`;
  const schedule = (id: string) =>
    chain.control("schedule", {
      requester,
      method: "GET",
      resource: "configmaps",
      namespace: "default",
      name: "x",
      payload: "",
      request_id: id,
    });
  await schedule("early");
  let signer: unknown;
  {
    const env = { ...settings(chain), NAUTILUS_SUI_MASTER_CAP: String(unowned) };
    await using master = await startMaster(place, [], env);
    await schedule("first");
    await until("failing", async () => (await health(master))["result_write_back"]);
    const document = await health(master);
    assertStringIncludes(String(document["result_write_back_detail"]), "not the signer's");
    signer = document["result_signer"];
    // Of the master that runs, asked by the name that it left in its data directory.
    const asked = await runBinary(place, ["signer", "address"], env);
    assertEquals([asked.code, asked.stdout], [0, `${signer}\n`]);
    assertEquals((await master.end("SIGTERM")).code, 0);
  }
  const { cap_id: owned } = await chain.control("master_cap", { owner: signer });
  await chain.control("fund", { owner: signer, mist: "1000000000" });
  const env = { ...settings(chain), NAUTILUS_SUI_MASTER_CAP: String(owned) };
  const { stdout } = await runBinary(place, ["signer", "status", "--json"], env);
  assertEquals([asRecord(JSON.parse(stdout))["address"], asRecord(JSON.parse(stdout))["state"]], [
    signer,
    "stopped",
  ]);
  await using master = await startMaster(place, [], env);
  assertEquals((await health(master))["result_signer"], signer);
  await schedule("second");
  const written = async () => {
    const metrics = await (await fetch(`${master.url}/metrics`)).text();
    return /^nautilus_chain_results_total\{outcome="written"\} (\d+)$/m.exec(metrics)?.[1];
  };
  await until("0", async () => {
    const metrics = await (await fetch(`${master.url}/metrics`)).text();
    const waiting = /^nautilus_chain_results_waiting (\d+)$/m.exec(metrics)?.[1];
    return Number(await written()) >= 2 ? waiting : "some";
  });
  assertEquals((await health(master))["result_write_back"], "on");
});

Deno.test("serve is woken by the checkpoints of the node that announces them, and goes on without", async () => {
  await using chain = await spawnFakeNode();
  await using place = await makePlace();
  const endpoints = `${chain.url},graphql+${chain.url}/graphql`;
  await using master = await startMaster(place, [], settings(chain, endpoints));
  const metric = async (name: string) => {
    const metrics = await (await fetch(`${master.url}/metrics`)).text();
    return new RegExp(`^${name} (\\d+)$`, "m").exec(metrics)?.[1];
  };
  await until("1", () => metric("nautilus_chain_subscribed"));
  await chain.control("fault", { kind: "end_stream", method: "SubscribeCheckpoints" });
  await until("0", () => metric("nautilus_chain_subscribed"));
  const before = Number(await metric("nautilus_chain_events_applied_total"));
  await newToken(chain);
  await until("true", async () => {
    const applied = Number(await metric("nautilus_chain_events_applied_total"));
    return String(applied > before);
  });
  assertEquals((await health(master))["sui_events"], "connected");
  const cleared = await fetch(`${chain.url}/control/fault`, { method: "DELETE" });
  assertEquals(await cleared.json(), { faults: [] });
  await until("1", () => metric("nautilus_chain_subscribed"));
  assertEquals((await master.end("SIGTERM")).code, 0);
});
