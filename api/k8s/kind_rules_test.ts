import { assert, assertEquals } from "@std/assert";
import { type TestApi, testApi } from "../../tests/fakes/api.ts";
import { bindingErrors } from "./rbac_rules.ts";
import { podErrors, workloadErrors } from "./workload_rules.ts";

type Json = Record<string, unknown>;

const GROUP = "rbac.authorization.k8s.io";
const MERGE = { "Content-Type": "application/merge-patch+json" };
const metadata = { name: "x", uid: "u", creationTimestamp: "" };

function texts(errors: readonly { field: string; message: string }[]): string[] {
  return errors.map(({ field, message }) => `${field}: ${message}`);
}

async function refusal(api: TestApi, ...request: Parameters<TestApi["admin"]>): Promise<string> {
  const response = await api.admin(...request);
  const { message } = await response.json();
  assertEquals(response.status, 422, String(message));
  return String(message);
}

async function taken(api: TestApi, ...request: Parameters<TestApi["admin"]>): Promise<void> {
  const response = await api.admin(...request);
  assert(response.ok, await response.clone().text());
  await response.body?.cancel();
}

Deno.test("bindingErrors() wants a role, and subjects that there can be", () => {
  const binding = (fields: Json) => ({ apiVersion: `${GROUP}/v1`, kind: "B", metadata, ...fields });
  const roleRef = { apiGroup: GROUP, kind: "ClusterRole", name: "r" };
  const problems = (fields: Json, isNamespaced = true) =>
    texts(bindingErrors(binding({ roleRef, ...fields }), undefined, isNamespaced));
  assertEquals(problems({}), []);
  assertEquals(problems({ roleRef: { kind: "Role", name: "r" } }), []);
  assertEquals(problems({ roleRef: undefined }), [
    'roleRef.kind: Unsupported value: "": supported values: "Role", "ClusterRole"',
    "roleRef.name: Required value",
  ]);
  assertEquals(problems({ roleRef: { kind: "Role", name: "r" } }, false), [
    'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
  ]);
  assertEquals(problems({ roleRef: { ...roleRef, name: "a/b" } }), [
    "roleRef.name: Invalid value: \"a/b\": may not contain '/'",
  ]);
  assertEquals(problems({ roleRef: { ...roleRef, apiGroup: "x" } }), [
    `roleRef.apiGroup: Unsupported value: "x": supported values: "${GROUP}"`,
  ]);
  const subjects = [
    { kind: "User", name: "a" },
    { kind: "Group", apiGroup: GROUP, name: "a" },
    { kind: "ServiceAccount", name: "a" },
    { kind: "Robot", name: "a" },
    { kind: "User", apiGroup: "x", name: "" },
  ];
  assertEquals(problems({ subjects }), [
    'subjects[3].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"',
    "subjects[4].name: Required value",
    `subjects[4].apiGroup: Unsupported value: "x": supported values: "${GROUP}"`,
  ]);
  assertEquals(problems({ subjects: subjects.slice(0, 3) }, false), [
    "subjects[2].namespace: Required value",
  ]);
  const other = binding({ roleRef: { ...roleRef, name: "more" } });
  assertEquals(texts(bindingErrors(other, binding({ roleRef }), true)), [
    `roleRef: Invalid value: {"apiGroup":"${GROUP}","kind":"ClusterRole","name":"more"}: cannot change roleRef`,
  ]);
  const short = binding({ roleRef: { kind: "ClusterRole", name: "r" } });
  assertEquals(bindingErrors(short, binding({ roleRef }), true), []);
});

Deno.test("workloadErrors() keeps the selector, and wants the template's labels to match it", () => {
  const workload = (spec: Json) => ({ apiVersion: "apps/v1", kind: "W", metadata, spec });
  const template = { metadata: { labels: { app: "a", tier: "b" } } };
  const problems = (selector: Json) =>
    texts(workloadErrors(workload({ selector, template }), undefined, "Deployment"));
  const expressions = (operator: string, key: string, values?: string[]) =>
    problems({
      matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }],
    });
  for (
    const fits of [
      problems({ matchLabels: { app: "a" } }),
      expressions("In", "tier", ["a", "b"]),
      expressions("NotIn", "tier", ["a"]),
      expressions("NotIn", "none", ["a"]),
      expressions("Exists", "app"),
      expressions("DoesNotExist", "none"),
    ]
  ) assertEquals(fits, []);
  const mismatch =
    'spec.template.metadata.labels: Invalid value: {"app":"a","tier":"b"}: `selector` does not match template `labels`';
  for (
    const differs of [
      problems({ matchLabels: { app: "b" } }),
      problems({ matchLabels: { none: "b" } }),
      expressions("In", "tier", ["a"]),
      expressions("NotIn", "tier", ["b"]),
      expressions("Exists", "none"),
      expressions("DoesNotExist", "app"),
      expressions("Near", "app"),
    ]
  ) assertEquals(differs, [mismatch]);
  const before = workload({ selector: { matchLabels: { app: "a" } } });
  const after = workload({ selector: { matchLabels: { app: "b" } } });
  assertEquals(texts(workloadErrors(after, before, "DaemonSet")), [
    'spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable',
  ]);
  assertEquals(workloadErrors(after, before, "StatefulSet").map(({ field }) => field), ["spec"]);
  assertEquals(workloadErrors(after, before, "ReplicationController"), []);
  assertEquals(workloadErrors(before, before, "Deployment"), []);
  assertEquals(texts(workloadErrors(workload({ replicas: -1 }), undefined, "ReplicaSet")), [
    "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
  ]);
});

Deno.test("podErrors() refuses two containers of one name, wherever a pod is described", () => {
  const spec = { containers: [{ name: "a" }, { name: "a" }], initContainers: [{ name: "a" }] };
  const template = { spec };
  const cases: [string, string, Json, string][] = [
    ["", "Pod", { spec }, "spec"],
    ["", "PodTemplate", { template }, "template.spec"],
    ["apps", "Deployment", { spec: { template } }, "spec.template.spec"],
    ["batch", "Job", { spec: { template } }, "spec.template.spec"],
    [
      "batch",
      "CronJob",
      { spec: { jobTemplate: { spec: { template } } } },
      "spec.jobTemplate.spec.template.spec",
    ],
  ];
  for (const [group, kind, fields, path] of cases) {
    const errors = podErrors({ apiVersion: "v1", kind, metadata, ...fields }, group, kind);
    assertEquals(texts(errors), [
      `${path}.containers[1].name: Duplicate value: "a"`,
      `${path}.initContainers[0].name: Duplicate value: "a"`,
    ]);
  }
  assertEquals(podErrors({ apiVersion: "v1", kind: "X", metadata, spec }, "x.io", "Pod"), []);
});

Deno.test("what breaks a kind's rules is 422 on every way to write", async () => {
  await using api = await testApi();
  const bindings = `/apis/${GROUP}/v1/namespaces/default/rolebindings`;
  const roleRef = { apiGroup: GROUP, kind: "Role", name: "r" };
  await refusal(api, "POST", bindings, { metadata: { name: "b" } });
  await taken(api, "POST", bindings, { metadata: { name: "b" }, roleRef });
  assertEquals(
    await refusal(api, "PATCH", `${bindings}/b`, { roleRef: { name: "admin" } }, MERGE),
    `RoleBinding.${GROUP} "b" is invalid: roleRef: Invalid value: {"apiGroup":"${GROUP}","kind":"Role","name":"admin"}: cannot change roleRef`,
  );
  const subjects = [{ kind: "User", name: "u" }];
  await taken(api, "PATCH", `${bindings}/b`, { subjects }, MERGE);

  const deployments = "/apis/apps/v1/namespaces/default/deployments";
  const deployment = (app: string) => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "d" },
    spec: {
      selector: { matchLabels: { app } },
      template: { metadata: { labels: { app } }, spec: { containers: [{ name: "c" }] } },
    },
  });
  await taken(api, "POST", deployments, deployment("a"));
  const selector =
    'Deployment.apps "d" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"b"}}: field is immutable';
  assertEquals(await refusal(api, "PUT", `${deployments}/d`, deployment("b")), selector);
  const applied = { "Content-Type": "application/apply-patch+yaml" };
  assertEquals(
    await refusal(
      api,
      "PATCH",
      `${deployments}/d?fieldManager=x&force=true`,
      deployment("b"),
      applied,
    ),
    selector,
  );
  await refusal(api, "PATCH", `${deployments}/d`, { spec: { replicas: -1 } }, MERGE);
  await taken(api, "PATCH", `${deployments}/d`, { spec: { replicas: 3 } }, MERGE);
  const pod = { metadata: { name: "p" }, spec: { containers: [{ name: "a" }, { name: "a" }] } };
  assertEquals(
    await refusal(api, "POST", "/api/v1/namespaces/default/pods", pod),
    'Pod "p" is invalid: spec.containers[1].name: Duplicate value: "a"',
  );
});
