/** What somebody asks about themselves, over HTTP and by kubectl. */
import { assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import { SEAL_TOKEN, type TestApi, testApi } from "../../tests/fakes/api.ts";
import { hasKubectl, openKubectl } from "../../tests/fakes/kubectl.ts";

const SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
const ACCESS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
const RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";

async function session(api: TestApi): Promise<string> {
  api.validator.admit(SEAL_TOKEN, { nodeId: "n1" });
  const registered = await api.post("/api/v1/register-worker", {
    node_id: "n1",
    seal_token: SEAL_TOKEN,
    timestamp: 1,
  });
  return (await registered.json()).session_token;
}

async function asNode(api: TestApi, token: string, path: string, body: unknown) {
  const response = await api.app.request(path, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  assertEquals(response.status, 201, JSON.stringify(answer));
  return answer;
}

Deno.test("SelfSubjectReview says who asks", async () => {
  await using api = await testApi();
  const response = await api.admin("POST", SELF, {});
  assertEquals(response.status, 201);
  assertObjectMatch(await response.json(), {
    kind: "SelfSubjectReview",
    apiVersion: "authentication.k8s.io/v1",
    status: { userInfo: { username: "admin", groups: ["system:masters", "system:authenticated"] } },
  });
  const { status } = await asNode(api, await session(api), SELF, {});
  assertEquals(status.userInfo.username, "system:node:n1");
  const nobody = await api.app.request(SELF, { method: "POST", body: "{}" });
  assertEquals(nobody.status, 401);
  await nobody.body?.cancel();
});

Deno.test("SelfSubjectRulesReview lists what is bound, and says where there is more", async () => {
  await using api = await testApi();
  const token = await session(api);
  const all = await (await api.admin("POST", RULES, { spec: { namespace: "default" } })).json();
  assertEquals(all.status, {
    resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
    nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
    incomplete: false,
  });
  const rule = { verbs: ["get"], apiGroups: [""], resources: ["configmaps"], resourceNames: ["m"] };
  await api.admin("POST", `${RBAC}/roles`, { metadata: { name: "r" }, rules: [rule] });
  // Without the API group, which is RBAC's own then.
  await api.admin("POST", `${RBAC}/rolebindings`, {
    metadata: { name: "r" },
    subjects: [{ kind: "Group", name: "system:nodes" }],
    roleRef: { kind: "Role", name: "r" },
  });
  const mine = await asNode(api, token, RULES, { spec: { namespace: "default" } });
  assertEquals(mine.status.resourceRules.at(-1), rule);
  assertEquals([mine.status.incomplete, mine.status.evaluationError], [
    true,
    "node authorizer does not support user rule resolution",
  ]);
  const elsewhere = await asNode(api, token, RULES, { spec: { namespace: "kube-system" } });
  assertEquals(
    elsewhere.status.resourceRules.some((r: { resources: string[] }) =>
      r.resources.includes("configmaps")
    ),
    false,
  );
  assertEquals((await api.admin("POST", RULES, { spec: {} })).status, 400);
});

Deno.test("SelfSubjectAccessReview is about a resource or a path, and about one of them", async () => {
  await using api = await testApi();
  const token = await session(api);
  const may = async (spec: unknown) => (await asNode(api, token, ACCESS, { spec })).status.allowed;
  assertEquals(await may({ resourceAttributes: { verb: "get", resource: "secrets" } }), false);
  assertEquals(
    await may({ resourceAttributes: { verb: "get", resource: "nodes", name: "n1" } }),
    true,
  );
  assertEquals(await may({ nonResourceAttributes: { verb: "get", path: "/readyz/store" } }), true);
  assertEquals(await may({ nonResourceAttributes: { verb: "get", path: "/logs" } }), false);
  assertEquals(await may({ nonResourceAttributes: { verb: "post", path: "/livez" } }), false);
  for (const spec of [{}, { resourceAttributes: {}, nonResourceAttributes: {} }]) {
    assertEquals((await api.admin("POST", ACCESS, { spec })).status, 422);
  }
  assertEquals((await api.admin("POST", ACCESS, { spec: 1 })).status, 400);
});

Deno.test("reviews are discovered, are made and nothing else, and no definition takes their groups", async () => {
  await using api = await testApi();
  const list = await (await api.admin("GET", "/apis/authorization.k8s.io/v1")).json();
  assertEquals(
    list.resources.map(({ name, verbs }: { name: string; verbs: string[] }) => [name, ...verbs]),
    [["selfsubjectaccessreviews", "create"], ["selfsubjectrulesreviews", "create"]],
  );
  assertEquals((await api.admin("GET", SELF)).status, 404);
  const crd = await api.admin(
    "POST",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    {
      metadata: { name: "things.authentication.k8s.io" },
      spec: {
        group: "authentication.k8s.io",
        scope: "Cluster",
        names: { plural: "things", kind: "Thing" },
        versions: [{
          name: "v1",
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: "object" } },
        }],
      },
    },
  );
  assertEquals(crd.status, 422);
  assertMatch((await crd.json()).message, /spec\.group: Forbidden/);
});

Deno.test("what reaches into a node is refused in words, and kubectl passes them on", async () => {
  await using api = await testApi();
  const answer = await api.admin("GET", "/api/v1/namespaces/default/pods/p/log");
  assertObjectMatch(await answer.json(), {
    code: 404,
    details: {},
    message:
      "the server could not find the requested resource (pods/log reaches into a node, and this server reaches none)",
  });
  if (!await hasKubectl()) return;
  await using kubectl = await openKubectl(api);
  const { run, refused } = kubectl;
  assertMatch(await run("auth whoami"), /Username +admin/);
  assertMatch(await run("auth can-i --list"), /\*\.\* +\[\] +\[\] +\[\*\]/);
  assertEquals(await run("auth can-i get /logs"), "yes");
  assertEquals(await run("run p --image=i"), "pod/p created");
  assertMatch(await refused("logs p"), /pods\/log reaches into a node/);
  assertMatch(await refused("exec p -- ls"), /pods\/exec reaches into a node/);
  // It asks for details of the refusal, and takes them for granted.
  assertMatch(await refused("debug p --image=i"), /ephemeral containers are disabled/);
  assertMatch(await refused("create token default"), /could not find the requested resource/);
});
