/** kubectl with a definition in the style of those that are published today: rules at every level. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { testApi } from "../../../../tests/fakes/api.ts";
import { hasKubectl, openKubectl } from "../../../../tests/fakes/kubectl.ts";

const DEFINITION = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: doors.net.example.com}
spec:
  group: net.example.com
  scope: Namespaced
  names: {plural: doors, singular: door, kind: Door, categories: [net]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        x-kubernetes-validations:
        - rule: self.metadata.name.size() <= 30
          message: a door's name has 30 characters at most
        properties:
          spec:
            type: object
            required: [className, listeners]
            x-kubernetes-validations:
            - rule: "has(self.addresses) ? self.addresses.all(a, a.type == 'Hostname' || isIP(a.value)) : true"
              message: an address is an IP address
              fieldPath: .addresses
            properties:
              className:
                type: string
                minLength: 1
                x-kubernetes-validations:
                - {rule: self == oldSelf, message: className is immutable}
              addresses:
                type: array
                maxItems: 16
                items:
                  type: object
                  required: [value]
                  properties:
                    type: {type: string, default: IPAddress}
                    value: {type: string, maxLength: 253}
                x-kubernetes-validations:
                - rule: self.all(a1, self.exists_one(a2, a2.type == a1.type && a2.value == a1.value))
                  message: addresses are named once
              listeners:
                type: array
                minItems: 1
                maxItems: 64
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                x-kubernetes-validations:
                - message: TLS belongs to HTTPS and TLS alone
                  rule: |-
                    self.all(l, l.protocol in ['HTTP', 'TCP', 'UDP']
                      ? !has(l.tls) : true)
                - message: no hostname for TCP and UDP
                  rule: "self.all(l, l.protocol in ['TCP', 'UDP'] ? (!has(l.hostname) || l.hostname == '') : true)"
                - message: port, protocol and hostname are taken once
                  rule: "self.all(l1, self.exists_one(l2, l1.port == l2.port && l1.protocol == l2.protocol && (has(l1.hostname) && has(l2.hostname) ? l1.hostname == l2.hostname : !has(l1.hostname) && !has(l2.hostname))))"
                items:
                  type: object
                  required: [name, port, protocol]
                  properties:
                    name: {type: string}
                    hostname: {type: string}
                    port: {type: integer, minimum: 1, maximum: 65535}
                    protocol: {type: string}
                    timeout:
                      type: string
                      format: duration
                    share:
                      x-kubernetes-int-or-string: true
                      x-kubernetes-validations:
                      - rule: "type(self) == int ? self >= 0 && self <= 100 : self.matches(r'^(100|[1-9]?[0-9])%$')"
                        messageExpression: "'share is 0 to 100 percent, not ' + string(self)"
                        reason: FieldValueForbidden
                    tls:
                      type: object
                      properties:
                        mode: {type: string, default: Terminate}
                        certificates: {type: array, maxItems: 8, items: {type: string}}
                      x-kubernetes-validations:
                      - rule: "self.mode == 'Terminate' ? size(self.?certificates.orValue([])) > 0 : true"
                        message: who terminates needs certificates
`;

const DOOR = (listener: string, rest = "") =>
  `apiVersion: net.example.com/v1
kind: Door
metadata: {name: front}
spec:
  className: wood
  listeners:
  - {name: web, port: 80, protocol: HTTP}
  - ${listener}
${rest}`;

Deno.test("kubectl: a definition with rules is applied, and its objects keep them", async () => {
  if (!await hasKubectl()) return;
  await using api = await testApi();
  await using kubectl = await openKubectl(api);
  const { run, refused } = kubectl;
  assertEquals(
    await run("apply -f -", DEFINITION),
    "customresourcedefinition.apiextensions.k8s.io/doors.net.example.com created",
  );
  await run("wait --for=condition=established --timeout=20s crd/doors.net.example.com");
  const good = DOOR(
    "{name: safe, port: 443, protocol: HTTPS, share: 50%, tls: {certificates: [a]}}",
  );
  assertEquals(await run("apply -f -", good), "door.net.example.com/front created");
  assertEquals(
    await run("apply --server-side -f -", good),
    "door.net.example.com/front serverside-applied",
  );

  const cases: readonly [string, string][] = [
    [
      good.replace("wood", "iron"),
      'The Door "front" is invalid: spec.className: Invalid value: "string": className is immutable',
    ],
    [
      DOOR("{name: safe, port: 443, protocol: HTTPS, tls: {}}"),
      'spec.listeners[1].tls: Invalid value: "object": who terminates needs certificates',
    ],
    [
      DOOR("{name: b, port: 80, protocol: HTTP}"),
      'spec.listeners: Invalid value: "array": port, protocol and hostname are taken once',
    ],
    [
      DOOR("{name: b, port: 81, protocol: TCP, hostname: a.b, tls: {mode: Passthrough}}"),
      "TLS belongs to HTTPS and TLS alone",
    ],
    [
      DOOR("{name: b, port: 81, protocol: TCP, share: 101%}"),
      "spec.listeners[1].share: Forbidden: share is 0 to 100 percent, not 101%",
    ],
    [
      DOOR("{name: b, port: 81, protocol: TCP}", "  addresses: [{value: nowhere}]"),
      'spec.addresses: Invalid value: "object": an address is an IP address',
    ],
    [
      DOOR(
        "{name: b, port: 81, protocol: TCP}",
        "  addresses: [{value: 10.0.0.1}, {value: 10.0.0.1}]",
      ),
      'spec.addresses: Invalid value: "array": addresses are named once',
    ],
    [
      good.replace("front", "a-door-with-a-name-that-is-too-long"),
      '<nil>: Invalid value: "object": a door\'s name has 30 characters at most',
    ],
  ];
  for (const [door, message] of cases) {
    assertStringIncludes(await refused("apply -f -", door), message);
    assertStringIncludes(await refused("apply --dry-run=server -f -", door), message);
  }
  assertStringIncludes(
    await refused("apply -f -", DEFINITION.replace("self == oldSelf", "self == oldSlef")),
    "compilation failed: ERROR: <input>:1:9: undeclared reference to 'oldSlef' (in container '')",
  );
  assertEquals(await run("get door front -o jsonpath={.spec.className}"), "wood");
});
