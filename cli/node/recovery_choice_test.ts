import { assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { ConfigError, loadConfig } from "../../config.ts";
import { recoveryKeyFiles } from "../../tests/fakes/recovery_key_files.ts";
import { openTestStore } from "../../tests/fakes/test_store.ts";
import { recoveryFingerprint } from "../files/recovery_keys.ts";
import { reconcileRecoveryKeys, requireRecoveryChoice } from "./recovery_choice.ts";

function config(flags: Readonly<Record<string, unknown>>) {
  return loadConfig({ flags, env: {}, isRoot: true, hostName: "host" });
}

Deno.test("requireRecoveryChoice() names both ways when neither was chosen", () => {
  const { message } = assertThrows(() => requireRecoveryChoice(config({})), ConfigError);
  for (const way of ["--recovery-key", "--no-recovery", "key recovery-init"]) {
    assertStringIncludes(message, way);
  }
  requireRecoveryChoice(config({ noRecovery: true }));
  requireRecoveryChoice(config({ recoveryKey: "a.pub,b.pub" }));
  assertThrows(() => config({ recoveryKey: "a.pub", noRecovery: true }), ConfigError, "contradict");
});

Deno.test("reconcileRecoveryKeys() refuses every difference that it cannot make good", async () => {
  await using a = await recoveryKeyFiles();
  await using b = await recoveryKeyFiles();
  await using store = await openTestStore({ recoveryKeys: [a.pair.publicKey] });
  const present = [recoveryFingerprint(a.pair.publicKey)];
  const reconcile = (flags: Readonly<Record<string, unknown>>, mayAdd = false) =>
    reconcileRecoveryKeys(store, config(flags), mayAdd);
  assertEquals(await reconcile({}), present);
  assertEquals(await reconcile({ recoveryKey: a.publicPath }), present);
  const both = { recoveryKey: `${a.publicPath},${b.publicPath}` };
  for (
    const [flags, says] of [
      [both, "only an authenticated admin may add one"],
      [{ recoveryKey: b.publicPath }, "cannot take a recovery key away"],
      [{ noRecovery: true }, "this store has recovery keys"],
    ] as const
  ) {
    await assertRejects(() => reconcile(flags), ConfigError, says);
  }
  assertEquals(store.keyStatus().keyringVersion, 1);
  const added = [...present, recoveryFingerprint(b.pair.publicKey)].sort();
  assertEquals(await reconcile(both, true), added);
  assertEquals(await reconcile(both), added);
});
