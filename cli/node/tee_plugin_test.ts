import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ConfigError, loadConfig } from "../../config.ts";
import { openTestStore } from "../../tests/fakes/test_store.ts";
import { reconcileConfig } from "./reconcile_config.ts";
import { replaceTee } from "./replace_config.ts";

const FIRST = `SEV:${"0a".repeat(32)}:/opt/first.so`;
const SECOND = `SEV:${"0b".repeat(32)}:/opt/second.so`;

function config(flags: Readonly<Record<string, string>>) {
  const adminKey = "MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
  return loadConfig({ flags: { adminKey, ...flags }, env: {}, isRoot: true, hostName: "host" });
}

Deno.test("reconcileConfig() seals the plugin and its text; another one, or none, is refused", async () => {
  await using store = await openTestStore();
  const given = { teePlugin: FIRST, teePluginConfig: "slot=1" };
  const { sealed, digest } = await reconcileConfig(store, config(given), false);
  assertEquals([sealed.teePlugin, sealed.teePluginConfig], [FIRST, "slot=1"]);
  assertEquals((await reconcileConfig(store, config(given), false)).digest, digest);
  for (
    const other of [{}, { ...given, teePlugin: SECOND }, { ...given, teePluginConfig: "slot=2" }]
  ) {
    const { message } = await assertRejects(
      () => reconcileConfig(store, config(other), false),
      ConfigError,
    );
    assertStringIncludes(message, "--tee-plugin");
  }
});

Deno.test("reconcileConfig() takes no plugin for a store that was made without one", async () => {
  await using store = await openTestStore();
  await reconcileConfig(store, config({}), false);
  const { message } = await assertRejects(
    () => reconcileConfig(store, config({ teePlugin: FIRST }), false),
    ConfigError,
  );
  assertStringIncludes(message, FIRST);
});

Deno.test("replaceTee() seals the plugin of the TEE that a store was recovered on", async () => {
  await using store = await openTestStore();
  await replaceTee(store, config({})); // nothing was sealed yet
  const before = await reconcileConfig(store, config({ teePlugin: FIRST }), false);
  const moved = config({ teePlugin: SECOND, teePluginConfig: "slot=2" });
  await replaceTee(store, moved);
  const { sealed, digest } = await reconcileConfig(store, moved, false);
  assertEquals([sealed.teePlugin, sealed.teePluginConfig], [SECOND, "slot=2"]);
  assertEquals(digest.toHex() === before.digest.toHex(), false);
  assertEquals(sealed.adminKey, before.sealed.adminKey);
  await replaceTee(store, config({}));
  assertEquals((await reconcileConfig(store, config({}), false)).sealed.teePlugin, null);
});
