import { assertEquals, assertStringIncludes } from "@std/assert";
import { tooOld } from "./kubectl.ts";

Deno.test("tooOld() says why a kubectl before 1.29 cannot be used, as kubectl of any age writes versions", () => {
  const debian12 =
    'Client Version: version.Info{Major:"1", Minor:"20+", GitVersion:"v1.20.5-rc.0"}';
  assertStringIncludes(tooOld(debian12) ?? "", "kubectl 1.20 is older than 1.29");
  assertStringIncludes(tooOld("Client Version: v1.28.15") ?? "", "kubectl 1.28");
  assertEquals(tooOld("Client Version: v1.29.0\nKustomize Version: v5.0.4"), undefined);
  assertEquals(tooOld("Client Version: v1.32.4\nKustomize Version: v5.5.0"), undefined);
  assertStringIncludes(tooOld("Kustomize Version: v5.5.0") ?? "", "does not say");
});
