import { assertEquals, assertObjectMatch } from "@std/assert";
import { testApi } from "../../tests/fakes/api.ts";

const PODS = "/api/v1/namespaces/default/pods";

Deno.test("who asks to impersonate is refused, in front of a kube-apiserver and without one", async () => {
  const asked: string[] = [];
  const upstream = {
    origin: "https://kube.test:6443",
    fetch(request: Request) {
      asked.push(request.url);
      return Promise.resolve(Response.json({}));
    },
  };
  for (const deps of [{}, { upstream }]) {
    await using api = await testApi({ deps });
    const names = ["User", "Group", "Uid", "Extra-scopes", "Extra-acme.com%2Fproject"];
    for (const name of names.map((name) => `Impersonate-${name}`)) {
      const response = await api.admin("DELETE", PODS, undefined, { [name]: "system:masters" });
      assertEquals(response.status, 403);
      assertObjectMatch(await response.json(), { kind: "Status", reason: "Forbidden" });
    }
    const stranger = await api.app.request(PODS, { headers: { "Impersonate-User": "admin" } });
    assertEquals(stranger.status, 401);
    await stranger.body?.cancel();
    const { records } = await (await api.admin("GET", "/api/v1/audit")).json();
    assertEquals(records.filter(({ action }: { action: string }) => action.startsWith("kube")), []);
  }
  assertEquals(asked, []);
});
