import { assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { ConfigError, loadConfig } from "../../config.ts";
import { openTestStore } from "../../tests/fakes/test_store.ts";
import { reconcileConfig } from "./reconcile_config.ts";
import { replaceAdminKey } from "./replace_config.ts";

const FIRST = "MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
const SECOND = "MCowBQYDK2VwAyEAgTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Jssk=";

function config(adminKey?: string, files: Readonly<Record<string, string>> = {}) {
  return loadConfig({
    flags: adminKey === undefined ? {} : { adminKey },
    env: { HOME: "/home/x" },
    isRoot: false,
    hostName: "host",
    readFile(path) {
      const text = files[path];
      if (text === undefined) throw new Error("no such file");
      return text;
    },
  });
}

Deno.test("reconcileConfig() refuses a first production start without an admin key", async () => {
  await using store = await openTestStore();
  await assertRejects(() => reconcileConfig(store, config(), false), ConfigError, "--admin-key");
  assertEquals((await reconcileConfig(store, config(), true)).sealed.adminKey, null);
});

Deno.test("reconcileConfig() seals the admin key; another one is refused, naming both", async () => {
  await using store = await openTestStore();
  const sealed = await reconcileConfig(store, config(FIRST), false);
  assertEquals(sealed.sealed.adminKey, FIRST);
  assertEquals((await reconcileConfig(store, config(), false)).sealed.adminKey, FIRST);
  const error = await assertRejects(
    () => reconcileConfig(store, config(SECOND), false),
    ConfigError,
  );
  assertEquals([FIRST, SECOND].map((key) => error.message.includes(key)), [true, true]);
});

Deno.test("reconcileConfig() seals what is pinned of the chain; each is in the digest", async () => {
  const pinned = { suiChainId: "4btiuiMPvEENsttpZC7CZ53DruC3MAgfznDbASZ7DR6S" };
  const given = (flags: Readonly<Record<string, unknown>>) =>
    loadConfig({
      flags: { adminKey: FIRST, ...flags },
      env: {},
      isRoot: true,
      hostName: "host",
    });
  const digests = new Set<string>();
  for (const flags of [{}, pinned, { maxChainAgeSeconds: 30 }, { acceptZkLogin: true }]) {
    await using store = await openTestStore();
    digests.add((await reconcileConfig(store, given(flags), false)).digest.toHex());
  }
  assertEquals(digests.size, 4);
  await using store = await openTestStore();
  await reconcileConfig(store, given(pinned), false);
  assertEquals(
    (await reconcileConfig(store, given({}), false)).sealed.suiChainId,
    pinned.suiChainId,
  );
  for (
    const [flags, name] of [
      [{ suiChainId: "69WiPg3DAQiwdxfncX6wYQ2siKwAe6L9BZthQea3JNMD" }, "--sui-chain-id"],
      [{ maxChainAgeSeconds: 600 }, "--max-chain-age-seconds"],
      [{ acceptZkLogin: true }, "--accept-zk-login"],
    ] as const
  ) await assertRejects(() => reconcileConfig(store, given(flags), false), ConfigError, name);
});

Deno.test("replaceAdminKey() changes the sealed key and the digest", async () => {
  await using store = await openTestStore();
  const before = await reconcileConfig(store, config(FIRST), false);
  const after = await replaceAdminKey(store, SECOND);
  assertNotEquals(after.digest.toHex(), before.digest.toHex());
  const reopened = await reconcileConfig(store, config(SECOND), false);
  assertEquals([reopened.sealed.adminKey, reopened.digest.toHex()], [SECOND, after.digest.toHex()]);
  await assertRejects(() => reconcileConfig(store, config(FIRST), false), ConfigError);
});

Deno.test("--admin-key takes a file with @, and any form of the key", () => {
  const ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c a";
  assertEquals(config("@/keys/admin.pub", { "/keys/admin.pub": `${ssh}\n` }).adminKey, FIRST);
  assertThrows(() => config("@/keys/none"), ConfigError, "no such file");
  assertThrows(() => config("something"), ConfigError, "Ed25519");
});
