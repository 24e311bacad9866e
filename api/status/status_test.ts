import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { ADMIN_TOKEN, testApi } from "../../tests/fakes/api.ts";

Deno.test("/ says what it is, with a banner in the simulation only, and no secret", async () => {
  await using api = await testApi();
  const response = await api.app.request("/", { headers: { Host: "node.example:6443" } });
  assertEquals(response.status, 200);
  const text = await response.text();
  assertStringIncludes(text, "Simulation: nothing here is protected");
  assertStringIncludes(text, "07".repeat(48));
  assert(!text.includes(ADMIN_TOKEN));
  const { tee } = api.deps;
  await using real = await testApi({
    deps: { tee: { ...tee, kind: "SEV", covers: "image", securityLevel: 2 } },
  });
  const other = await (await real.app.request("/")).text();
  assert(!other.includes("Simulation"));
  assertStringIncludes(other, "launch image");
});

Deno.test("/ lets its own style and script run by hash, and nothing else", async () => {
  await using api = await testApi();
  const response = await api.app.request("/");
  const policy = response.headers.get("content-security-policy") ?? "";
  assertMatch(policy, /^default-src 'none'; style-src 'sha256-\S+'; script-src 'sha256-\S+'; /);
  assert(!policy.includes("unsafe"));
  const text = await response.text();
  for (const [tag, name] of [["style", "style-src"], ["script", "script-src"]]) {
    const content = new RegExp(`<${tag}>(.*?)</${tag}>`, "s").exec(text)?.[1] ?? "";
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(content));
    assertStringIncludes(policy, `${name} 'sha256-${new Uint8Array(digest).toBase64()}'`);
  }
  assertEquals(/ (style|on\w+)=/.test(text), false);
});

Deno.test("/ shows a hostile Host and a hostile detail as text, or not at all", async () => {
  await using api = await testApi();
  api.chain.status = { ...api.chain.status, detail: "<script>alert(1)</script>" };
  const response = await api.app.request("/", { headers: { Host: `x"><script>` } });
  const text = await response.text();
  assertStringIncludes(text, "&lt;script&gt;alert(1)");
  assertEquals(text.split("<script>").length, 2);
});

Deno.test("/status/events sends the values at once, and ends when nobody listens", async () => {
  await using api = await testApi();
  const response = await api.app.request("/status/events");
  assertEquals(response.headers.get("content-type"), "text/event-stream");
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const { value = "" } = await reader?.read() ?? {};
  assertMatch(value, /^data: \{"status":"healthy",.*\}\n\n$/);
  await reader?.cancel();
});
