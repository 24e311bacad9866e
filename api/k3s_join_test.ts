import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { ApiProblem } from "./problem.ts";
import { ADMIN_TOKEN, SESSION_TTL_MS, testApi } from "../tests/fakes/api.ts";
import {
  type Answer,
  type ProtocolWorker,
  type ProtocolWorld,
  protocolWorld,
  signedHeaders,
} from "../tests/fakes/protocol.ts";

const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const PATTERN = /^K10(?:c5){32}::([a-z0-9]{6})\.([a-z0-9]{16})$/;

/** Our own Kubernetes API plays the cluster that K3s serves. */
interface Scene extends AsyncDisposable {
  readonly world: ProtocolWorld;
  /** What the cluster is to answer instead; undefined: what it answers. */
  fault: ((request: Request) => Promise<Response | undefined>) | undefined;
  secret(id: string): Promise<Readonly<Record<string, string>> | undefined>;
  ask(method: string, path: string, body?: unknown): Promise<Response>;
  names(): Promise<readonly string[]>;
}

async function scene(): Promise<Scene> {
  const cluster = await testApi();
  await cluster.k8s.bootstrap();
  const send = async (request: Request) => {
    request.headers.set("Authorization", `Bearer ${ADMIN_TOKEN}`);
    return await cluster.app.fetch(request);
  };
  const world = await protocolWorld({
    upstream: {
      origin: "https://cluster.test",
      fetch: async (request) => await all.fault?.(request) ?? await send(request),
    },
  });
  const all: Scene = {
    world,
    fault: undefined,
    ask: (method, path, body) =>
      send(
        new Request(`https://cluster.test${path}`, {
          method,
          headers: { "Content-Type": "application/json" },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
      ),
    async secret(id) {
      const response = await all.ask("GET", `${SECRETS}/bootstrap-token-${id}`);
      const { type, data, metadata } = await response.json();
      if (response.status === 404) return undefined;
      const fields: Record<string, string> = {
        type,
        admission: metadata.labels["nautilus-tee.io/admission"] ?? "",
      };
      for (const [name, value] of Object.entries(data)) fields[name] = atob(String(value));
      return fields;
    },
    async names() {
      const { items } = await (await all.ask("GET", SECRETS)).json();
      return items.map(({ metadata }: { metadata: { name: string } }) => metadata.name);
    },
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
  return all;
}

async function join(world: ProtocolWorld, worker: ProtocolWorker): Promise<Answer> {
  const proof = await world.prove(worker, await world.challenge(worker));
  return await world.post("/api/v1/register-worker", { ...world.registration(proof), k3s: true });
}

/** Id and secret of the token that an answer hands out. */
function handedOut({ status, body }: Answer): { readonly id: string; readonly secret: string } {
  assertEquals(status, 200, JSON.stringify(body));
  const text = JSON.stringify(body["k3s"]);
  const [, id = "", secret = ""] = PATTERN.exec(String(JSON.parse(text).token)) ?? [];
  assertMatch(id, /^.{6}$/);
  return { id, secret };
}

Deno.test("a join that asks for it is handed a bootstrap token of its own, until its session ends", async () => {
  await using all = await scene();
  const { world } = all;
  const worker = world.worker("worker-1", 21);
  const answer = await join(world, worker);
  const { id, secret } = handedOut(answer);
  const k3s = JSON.parse(JSON.stringify(answer.body["k3s"]));
  assertEquals(k3s.server_url, "https://k3s.test:6443");
  assertEquals(k3s.expires_at, answer.body["session_expires_at"]);
  const kept = await all.secret(id);
  assertEquals(kept, {
    type: "bootstrap.kubernetes.io/token",
    admission: world.workers.liveAdmission("worker-1")?.id ?? "none",
    "token-id": id,
    "token-secret": secret,
    description: `Nautilus TEE: node worker-1, session ${kept?.["admission"]}`,
    expiration: new Date(k3s.expires_at * 1000).toISOString().replace(".000Z", "Z"),
    "usage-bootstrap-authentication": "true",
    "usage-bootstrap-signing": "true",
    "auth-extra-groups": "system:bootstrappers:k3s:default-node-token",
  });
  const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0) };
  for (const keyspace of ["system", "k8s"] as const) {
    for (const { value } of (await world.store.range(keyspace, everything)).kvs) {
      assert(!new TextDecoder().decode(value).includes(secret), "the master keeps no secret half");
    }
  }
  assertEquals(await world.k3s?.revoke(), 1, "it lives with its session");
  assertEquals((await all.secret(id))?.["token-id"], id);
});

Deno.test("who does not ask is handed none; where there is none to hand out, who asks is refused first", async () => {
  await using all = await scene();
  const silent = await all.world.join(all.world.worker("worker-1", 21));
  assertEquals([silent.status, "k3s" in silent.body], [200, false]);
  assertEquals(await all.names(), []);
  await using without = await protocolWorld();
  const worker = without.worker("worker-1", 21);
  const proof = await without.prove(worker, await without.challenge(worker));
  const asked = { ...without.registration(proof), k3s: true };
  const refused = await without.post("/api/v1/register-worker", asked);
  assertEquals([refused.status, refused.body["code"]], [400, "k3s_not_configured"]);
  assertEquals((await without.register(proof)).status, 200, "the challenge is still good");
  const bare = { ...all.world.registration(proof), k3s: true, proof: undefined };
  const bearer = await all.world.post("/api/v1/register-worker", bare);
  assertEquals(bearer.body["code"], "k3s_not_configured");
});

const ENDS: readonly [
  what: string,
  end: (world: ProtocolWorld, worker: ProtocolWorker, session: string) => Promise<void>,
][] = [
  ["leaving", async (world, worker, session) => {
    const body = JSON.stringify({ node_id: worker.nodeId, timestamp: 1 });
    const headers = signedHeaders(worker, "leave", session, 1, new TextEncoder().encode(body));
    assertEquals((await world.post("/api/v1/nodes/leave", body, headers)).status, 200);
  }],
  ["slashing", async (world, { tokenId }) => {
    world.gateway.setEntry(tokenId, { status: "slashed" });
    await world.deliver();
  }],
  ["revocation", async (world, { tokenId }) => {
    world.gateway.setEntry(tokenId, { revoked: true });
    await world.deliver();
  }],
  ["the session's end", (world) => {
    world.time.now += SESSION_TTL_MS;
    return Promise.resolve();
  }],
  ["removal", async (world) => {
    world.time.now += 10 * 24 * 3_600_000;
    await world.restart();
    world.time.now += 10 * 24 * 3_600_000;
    await world.workers.sweep();
    world.time.now += 10 * 24 * 3_600_000;
    await world.workers.sweep();
    assertEquals(world.workers.get("worker-1"), undefined);
  }],
];
for (const [what, end] of ENDS) {
  Deno.test(`${what} deletes the token, also where the master was down meanwhile`, async () => {
    await using all = await scene();
    const { world } = all;
    const worker = world.worker("worker-1", 21);
    const answer = await join(world, worker);
    const { id } = handedOut(answer);
    await end(world, worker, String(answer.body["session_token"]));
    await world.restart();
    assertEquals(await world.k3s?.revoke(), 0);
    assertEquals(await all.secret(id), undefined);
  });
}

Deno.test("joining again replaces the token; others keep theirs", async () => {
  await using all = await scene();
  const { world } = all;
  const [a, b] = [world.worker("worker-1", 21), world.worker("worker-2", 22)];
  const first = handedOut(await join(world, a));
  const other = handedOut(await join(world, b));
  const second = handedOut(await join(world, a));
  assertNotEquals(first, second);
  assertEquals(await world.k3s?.revoke(), 2);
  assertEquals(
    (await all.names()).toSorted(),
    [other, second].map(({ id }) => `bootstrap-token-${id}`).toSorted(),
  );
});

Deno.test("a cluster that fails hands out nothing, and what it may have made is deleted later", async () => {
  await using all = await scene();
  const { world } = all;
  const worker = world.worker("worker-1", 21);
  for (const lost of ["before", "after"] as const) {
    all.fault = async (request) => {
      if (request.method !== "POST") return undefined;
      // The answer is lost; the request perhaps not.
      if (lost === "after") await all.ask("POST", SECRETS, await request.json());
      throw new TypeError("connection reset");
    };
    const answer = await join(world, worker);
    assertEquals([answer.status, answer.body["code"]], [503, "k3s_unavailable"]);
  }
  assertEquals((await all.names()).length, 1);
  all.fault = () => Promise.resolve(new Response(null, { status: 403 }));
  assertEquals((await join(world, worker)).body["code"], "k3s_unavailable");
  assertEquals(await world.k3s?.revoke(), 3, "the cluster refuses: tried again");
  all.fault = undefined;
  world.time.now += 61_000;
  assertEquals(await world.k3s?.revoke(), 0);
  assertEquals(await all.names(), []);
});

Deno.test("a worker that asks again and again while the cluster is down fills nothing", async () => {
  await using all = await scene();
  const { world } = all;
  const [worker, other] = [world.worker("worker-1", 21), world.worker("worker-2", 22)];
  all.fault = () => Promise.reject(new TypeError("connection refused"));
  for (let i = 0; i < 8; i++) {
    world.time.now += 1_000;
    assertEquals((await join(world, worker)).body["code"], "k3s_unavailable");
  }
  const everything = { key: Uint8Array.of(0), rangeEnd: Uint8Array.of(0), keysOnly: true };
  const { kvs } = await world.store.range("system", everything);
  const kept = kvs.map(({ key }) => new TextDecoder().decode(key));
  assertEquals(kept.filter((key) => key.startsWith("/k3s-tokens/")).length, 4);
  all.fault = undefined;
  handedOut(await join(world, other));
  world.time.now += 61_000;
  handedOut(await join(world, worker));
  assertEquals(await world.k3s?.revoke(), 2);
});

Deno.test("attack: a slashing while the token is made hands out nothing, and the token goes", async () => {
  await using all = await scene();
  const { world } = all;
  const worker = world.worker("worker-1", 21);
  all.fault = async (request) => {
    if (request.method !== "POST") return undefined;
    all.fault = undefined;
    world.gateway.setEntry(worker.tokenId, { status: "slashed" });
    await world.deliver();
    return undefined;
  };
  const answer = await join(world, worker);
  assertEquals([answer.status, answer.body["code"]], [401, "session_unknown"]);
  assertEquals(await world.k3s?.revoke(), 0);
  assertEquals(await all.names(), []);
});

Deno.test("attack: whoever lost the name meanwhile is not handed a token of the one who has it now", async () => {
  await using all = await scene();
  const { world } = all;
  const first = world.worker("worker-1", 21);
  const second = world.worker("worker-1", 22);
  const said = async (change: { revoked?: boolean; status?: "suspended" | "active" }) => {
    world.gateway.setEntry(first.tokenId, change);
    await world.deliver();
  };
  // The chain takes the first one's permission back twice, and gives it back both times; in between
  // the name goes to the second.
  world.afterCheck = async () => {
    world.afterCheck = async () => {
      world.afterCheck = () => Promise.resolve();
      await said({ revoked: true });
      assertEquals((await world.join(second)).status, 200);
      await said({ revoked: false });
    };
    await said({ status: "suspended" });
    await said({ status: "active" });
  };
  const answer = await join(world, first);
  assertEquals(
    [answer.status, answer.body["code"]],
    [503, "busy"],
    "no session is told that is none",
  );
  for (const admission of ["ab".repeat(16), undefined]) {
    const error = await assertRejects(async () => await world.k3s?.issue("worker-1", admission));
    assert(error instanceof ApiProblem && error.code === "session_unknown");
  }
  assertEquals(await all.names(), []);
  assertEquals(world.workers.get("worker-1")?.owner, second.wallet.address);
});

Deno.test("a Secret of somebody else is neither taken for ours nor deleted", async () => {
  await using all = await scene();
  const { world } = all;
  const worker = world.worker("worker-1", 21);
  let taken = "";
  all.fault = async (request) => {
    if (request.method !== "POST") return undefined;
    all.fault = undefined;
    const { metadata } = await request.clone().json();
    taken = metadata.name;
    const theirs = { ...await request.clone().json(), metadata: { ...metadata, labels: {} } };
    assertEquals((await all.ask("POST", SECRETS, theirs)).status, 201);
    return undefined;
  };
  const { id } = handedOut(await join(world, worker));
  assertNotEquals(`bootstrap-token-${id}`, taken);
  // The id of ours comes to be another's: the label tells.
  const path = `${SECRETS}/bootstrap-token-${id}`;
  const ours = await (await all.ask("GET", path)).json();
  assertEquals((await all.ask("DELETE", path)).status, 200);
  const { metadata: { name, namespace }, type, data, apiVersion, kind } = ours;
  const theirs = { apiVersion, kind, type, data, metadata: { name, namespace } };
  assertEquals((await all.ask("POST", SECRETS, theirs)).status, 201);
  world.time.now += SESSION_TTL_MS;
  assertEquals(await world.k3s?.revoke(), 0);
  assertEquals((await all.names()).toSorted(), [taken, name].toSorted());
});
