/** kubectl with CustomResourceDefinitions and their objects, as the documentation of Kubernetes walks through it. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { testApi } from "../../../tests/fakes/api.ts";
import { hasKubectl, openKubectl } from "../../../tests/fakes/kubectl.ts";

const DEFINITION = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Spec, type: string, description: The cron spec, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: When and what.
            required: [cronSpec]
            properties:
              cronSpec: {type: string, description: Five fields., pattern: '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$'}
              image: {type: string, default: busybox}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
          status:
            type: object
            properties:
              replicas: {type: integer}
              conditions:
                type: array
                items:
                  type: object
                  properties: {type: {type: string}, status: {type: string}}
`;

const TAB = (image: string) =>
  `apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: my-tab}
spec: {cronSpec: "* * * * */5", image: ${image}}
`;

Deno.test("kubectl: a definition is applied, waited for, explained, used and deleted", async () => {
  if (!await hasKubectl()) return;
  await using api = await testApi();
  await using kubectl = await openKubectl(api);
  const { run, call, refused } = kubectl;
  const name = "crontabs.stable.example.com";

  assertEquals(
    await run("create -f -", DEFINITION),
    `customresourcedefinition.apiextensions.k8s.io/${name} created`,
  );
  assertEquals(
    await run(`wait --for=condition=established --timeout=20s crd/${name}`),
    `customresourcedefinition.apiextensions.k8s.io/${name} condition met`,
  );
  assertMatch(await run("get crd"), new RegExp(`^NAME +CREATED AT\\n${name} +2`));
  assertMatch(await run("explain crontab.spec"), /cronSpec[\s\S]*required[\s\S]*Five fields\./);
  assertMatch(await run("explain crd.spec.names"), /shortNames/);

  assertEquals(await run("apply -f -", TAB("a")), "crontab.stable.example.com/my-tab created");
  assertEquals(await run("apply -f -", TAB("b")), "crontab.stable.example.com/my-tab configured");
  assertEquals(await run("apply -f -", TAB("b")), "crontab.stable.example.com/my-tab unchanged");
  assertMatch(await run("get ct"), /^NAME +SPEC +REPLICAS +AGE\nmy-tab +\* \* \* \* \*\/5 +1 +/);
  assertMatch(await run("get all"), /crontab\.stable\.example\.com\/my-tab/);
  assertEquals(await run("get ct my-tab -o jsonpath={.spec.image}"), "b");
  assertEquals(
    await run("scale ct my-tab --replicas=3"),
    "crontab.stable.example.com/my-tab scaled",
  );
  assertEquals(await run("label ct my-tab a=b"), "crontab.stable.example.com/my-tab labeled");
  await call(["patch", "ct", "my-tab", "--type=merge", "-p", '{"spec":{"replicas":4}}']);
  assertEquals(await run("get ct -l a=b -o jsonpath={.items[*].spec.replicas}"), "4");
  await call([
    "patch",
    "ct",
    "my-tab",
    "--subresource=status",
    "--type=merge",
    "-p",
    '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}',
  ]);
  assertEquals(
    await run("wait --for=condition=Ready --timeout=20s ct/my-tab"),
    "crontab.stable.example.com/my-tab condition met",
  );

  const wrong = await refused("apply -f -", TAB("b").replace("* * * * */5", "never"));
  assertStringIncludes(wrong, 'The CronTab "my-tab" is invalid: spec.cronSpec: Invalid value');
  const unknown = await refused("apply -f -", TAB("b").replace("image:", "picture:"));
  assertStringIncludes(unknown, 'strict decoding error: unknown field "spec.picture"');

  assertEquals(
    await run(`delete crd ${name}`),
    `customresourcedefinition.apiextensions.k8s.io "${name}" deleted`,
  );
  // By its own cache of discovery, or by asking.
  assertMatch(
    await refused("get ct"),
    /have a resource type|could not find the requested resource/,
  );
});
