/** A K3s join token, from the cluster over the built master to the built worker's file. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { REFUSED_TAINT } from "../../api/k3s_nodes.ts";
import { k3sCaHash } from "../../cli/master/k3s.ts";
import { ADMIN_TOKEN, testApi } from "../fakes/api.ts";
import { spawnFakeNode } from "../fakes/sui/spawn.ts";
import { listenTls } from "../fakes/tls_listener.ts";
import { asRecord, makePlace, runBinary, startMaster } from "./harness.ts";
import { joinOnce, makeWorker } from "./worker.ts";

const NODES = "/api/v1/nodes";
const SECRETS = "/api/v1/namespaces/kube-system/secrets";

Deno.test("worker join --k3s-env writes a token of its own; a slashing deletes it and taints the Node", async () => {
  // Our own listener plays the cluster's kube-apiserver.
  await using cluster = await testApi();
  await cluster.k8s.bootstrap();
  const { server, caPem } = await listenTls(cluster);
  try {
    const send = async (method: string, path: string, body?: unknown) =>
      await cluster.app.request(path, {
        method,
        headers: { "Authorization": `Bearer ${ADMIN_TOKEN}`, "Content-Type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    const names = async (): Promise<readonly string[]> => {
      const { items } = await (await send("GET", SECRETS)).json();
      return items.map(({ metadata }: { metadata: { name: string } }) => metadata.name);
    };
    await using chain = await spawnFakeNode();
    await using place = await makePlace();
    const worker = await makeWorker(place, chain);
    const [ca, credential] = [`${place.cwd}/server-ca.crt`, `${place.cwd}/credential`];
    await Deno.writeTextFile(ca, caPem);
    await Deno.writeTextFile(credential, ADMIN_TOKEN);
    const settings = {
      CONTRACT_ADDRESS: chain.packageId,
      SUI_RPC_ENDPOINT: chain.url,
      NAUTILUS_SUI_REGISTRY: chain.registryId,
      NAUTILUS_CLUSTER_ID: chain.clusterId,
    };
    const env = `${place.cwd}/k3s-agent.env`;
    {
      await using master = await startMaster(place, [], settings);
      const refused = await joinOnce(place, master, worker, ["--k3s-env", env]);
      assertEquals(refused.code, 1, refused.stderr);
      assertStringIncludes(refused.stderr, "k3s_not_configured");
      assertEquals((await master.end("SIGTERM")).code, 0);
    }
    const url = ["--k3s-server-url", "https://k3s.test:6443"];
    const alone = await runBinary(place, ["serve", ...url], settings);
    assertEquals(alone.code, 2, alone.stderr);
    assertStringIncludes(alone.stderr, "--k8s-api-endpoint");
    await using master = await startMaster(place, url, {
      ...settings,
      K8S_API_ENDPOINT: server.url,
      NAUTILUS_K8S_API_CA: `@${ca}`,
      NAUTILUS_K8S_API_CREDENTIAL: credential,
    });
    const joined = await joinOnce(place, master, worker, ["--k3s-env", env]);
    assertEquals(joined.code, 0, joined.stderr);
    assertEquals(typeof asRecord(JSON.parse(joined.stdout))["session_token"], "string");
    const written = await Deno.readTextFile(env);
    assertEquals(((await Deno.stat(env)).mode ?? 0) & 0o777, 0o600);
    const pattern =
      /^K3S_URL=https:\/\/k3s\.test:6443\nK3S_TOKEN=K10([0-9a-f]{64})::(\w{6})\.(\w{16})\nK3S_NODE_NAME=([a-z0-9-]+)\n$/;
    assertMatch(written, pattern);
    const [, hash = "", id = "", secret = "", name = ""] = pattern.exec(written) ?? [];
    assertEquals(hash, await k3sCaHash(caPem));
    assertEquals(await names(), [`bootstrap-token-${id}`]);
    for (const text of [joined.stdout, joined.stderr, master.output()]) {
      assert(!text.includes(secret), "the secret half is printed by nobody");
    }
    // The agent joins: its kubelet makes its Node.
    cluster.time.now = Date.now();
    const made = await send("POST", NODES, { apiVersion: "v1", kind: "Node", metadata: { name } });
    assertEquals(made.status, 201, await made.text());
    const taints = async () => {
      const { spec } = await (await send("GET", `${NODES}/${name}`)).json();
      return (spec?.taints ?? []).map(({ key }: { key: string }) => key);
    };
    await chain.control("entry", { token_id: worker.token, status: "slashed" });
    for (let i = 0; i < 1200 && !(await taints()).includes(REFUSED_TAINT); i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assertEquals((await taints()).filter((key: string) => key === REFUSED_TAINT).length, 1);
    for (let i = 0; i < 1200 && (await names()).length > 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assertEquals(await names(), []);
    assert(!master.output().includes(secret));
  } finally {
    await server.close(200);
  }
});
