import { assertEquals } from "@std/assert";
import { SEAL_TOKEN, type TestApi, testApi } from "../../tests/fakes/api.ts";
import { type AccessRequest, chainUser } from "./authorize.ts";
import { covers } from "./rbac.ts";

const GROUP = "rbac.authorization.k8s.io";
const ADDRESS = `0x${"12".repeat(32)}`;

function request(overrides: Partial<AccessRequest> = {}): AccessRequest {
  return {
    user: { name: "jane", groups: [] },
    verb: "get",
    group: "",
    resource: "pods",
    namespace: "default",
    name: "web",
    ...overrides,
  };
}

Deno.test("covers() reads rules as the documentation of Kubernetes gives them", () => {
  const pods = { apiGroups: [""], resources: ["pods"], verbs: ["get", "watch", "list"] };
  const cases: [unknown, Partial<AccessRequest>, boolean][] = [
    [pods, {}, true],
    [pods, { verb: "delete" }, false],
    [pods, { resource: "pods/log" }, false],
    [pods, { group: "apps", resource: "deployments" }, false],
    [{ ...pods, resources: ["pods", "pods/log"] }, { resource: "pods/log" }, true],
    [{ apiGroups: ["apps"], resources: ["deployments"], verbs: ["get"] }, {
      group: "apps",
      resource: "deployments",
    }, true],
    [{
      apiGroups: [""],
      resources: ["configmaps"],
      resourceNames: ["my-map"],
      verbs: ["update", "get"],
    }, {
      resource: "configmaps",
      name: "my-map",
    }, true],
    [{ apiGroups: [""], resources: ["configmaps"], resourceNames: ["my-map"], verbs: ["get"] }, {
      resource: "configmaps",
      name: "other",
    }, false],
    [{ ...pods, resourceNames: ["web"] }, { verb: "list", name: "" }, false],
    [{ apiGroups: ["*"], resources: ["*"], verbs: ["*"] }, { group: "x", resource: "y/z" }, true],
    [
      { apiGroups: ["*"], resources: ["*/scale"], verbs: ["*"] },
      { resource: "deployments/scale" },
      true,
    ],
    [
      { apiGroups: ["*"], resources: ["*/scale"], verbs: ["*"] },
      { resource: "deployments" },
      false,
    ],
    [{ nonResourceURLs: ["*"], verbs: ["get"] }, {}, false],
    [{}, {}, false],
    [null, {}, false],
  ];
  for (const [rule, overrides, expected] of cases) {
    assertEquals(covers(rule, request(overrides)), expected, JSON.stringify([rule, overrides]));
  }
});

async function make(api: TestApi, path: string, body: Record<string, unknown>): Promise<void> {
  const response = await api.admin("POST", path, { apiVersion: `${GROUP}/v1`, ...body });
  assertEquals(response.status, 201, await response.text());
}

const CLUSTER = `/apis/${GROUP}/v1`;
const HERE = `${CLUSTER}/namespaces/default`;
const READ_PODS = [{ apiGroups: [""], resources: ["pods", "secrets"], verbs: ["get", "list"] }];

Deno.test("a RoleBinding allows within its namespace, a ClusterRoleBinding everywhere", async () => {
  await using api = await testApi();
  const user = chainUser(ADDRESS);
  const may = async (overrides: Partial<AccessRequest> = {}) =>
    (await api.k8s.authorize(request({ user, ...overrides }))).allowed;
  assertEquals(await may(), false);
  await make(api, `${CLUSTER}/clusterroles`, {
    kind: "ClusterRole",
    metadata: { name: "reader" },
    rules: READ_PODS,
  });
  await make(api, `${HERE}/rolebindings`, {
    kind: "RoleBinding",
    metadata: { name: "read" },
    subjects: [{ kind: "User", name: user.name, apiGroup: GROUP }],
    roleRef: { kind: "ClusterRole", name: "reader", apiGroup: GROUP },
  });
  assertEquals(
    [await may(), await may({ verb: "list", name: "" }), await may({ verb: "delete" })],
    [
      true,
      true,
      false,
    ],
  );
  assertEquals([await may({ namespace: "kube-system" }), await may({ namespace: "" })], [
    false,
    false,
  ]);
  // What stands on chain is public: no role opens secrets to it.
  assertEquals(await may({ resource: "secrets" }), false);
  await make(api, `${CLUSTER}/clusterrolebindings`, {
    kind: "ClusterRoleBinding",
    metadata: { name: "read" },
    subjects: [{ kind: "User", name: user.name, apiGroup: GROUP }],
    roleRef: { kind: "ClusterRole", name: "reader", apiGroup: GROUP },
  });
  assertEquals([await may({ namespace: "kube-system" }), await may({ namespace: "" })], [
    true,
    true,
  ]);
  // Nobody gets hold of roles by a role, however wide.
  const everything = [{ apiGroups: ["*"], resources: ["*"], verbs: ["*"] }];
  await (await api.admin("PUT", `${CLUSTER}/clusterroles/reader`, {
    apiVersion: `${GROUP}/v1`,
    kind: "ClusterRole",
    metadata: { name: "reader" },
    rules: everything,
  })).body?.cancel();
  const roles = { group: GROUP, resource: "clusterrolebindings", namespace: "", name: "x" };
  assertEquals([await may(roles), await may({ ...roles, verb: "update" })], [true, false]);
  assertEquals(await may({ verb: "delete" }), true);
  await (await api.admin("DELETE", `${CLUSTER}/clusterroles/reader`)).body?.cancel();
  assertEquals(await may(), false);
});

Deno.test("groups, other users, missing roles and roles of another place", async () => {
  await using api = await testApi();
  const bind = (name: string, subject: Record<string, string>, role: Record<string, string>) =>
    make(api, `${HERE}/rolebindings`, {
      kind: "RoleBinding",
      metadata: { name },
      subjects: [subject],
      roleRef: { apiGroup: GROUP, ...role },
    });
  await make(api, `${HERE}/roles`, { kind: "Role", metadata: { name: "r" }, rules: READ_PODS });
  await bind("a", { kind: "Group", name: "system:nodes", apiGroup: GROUP }, {
    kind: "Role",
    name: "r",
  });
  await bind("b", { kind: "User", name: "bob", apiGroup: GROUP }, {
    kind: "Role",
    name: "missing",
  });
  await bind("c", { kind: "ServiceAccount", name: "robot", namespace: "x" }, {
    kind: "Role",
    name: "r",
  });
  const may = async (name: string, groups: string[] = []) =>
    (await api.k8s.authorize(request({ user: { name, groups } }))).allowed;
  assertEquals(await may("system:node:n", ["system:nodes"]), true);
  assertEquals([await may("bob"), await may("jane"), await may("system:nodes")], [
    false,
    false,
    false,
  ]);
  assertEquals(await may("system:serviceaccount:x:robot"), true);
  assertEquals(await may("system:serviceaccount:y:robot"), false);

  api.validator.admit(SEAL_TOKEN, { nodeId: "n" });
  const body = { node_id: "n", seal_token: SEAL_TOKEN, timestamp: 1 };
  const { session_token } = await (await api.post("/api/v1/register-worker", body)).json();
  const headers = { Authorization: `Bearer ${session_token}` };
  assertEquals((await api.app.request("/api/v1/namespaces/default/pods", { headers })).status, 200);
  assertEquals(
    (await api.app.request("/api/v1/namespaces/default/configmaps", { headers })).status,
    403,
  );
});
