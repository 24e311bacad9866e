import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LedgerUnavailable } from "./ledger.ts";
import { createQuorumZkLogin } from "./quorum_zk_login.ts";
import type { ZkLoginVerifier } from "./wallet_signature.ts";

const says = (word: boolean): ZkLoginVerifier => ({
  verifyPersonalMessage: () => Promise.resolve(word),
});
const AWAY: ZkLoginVerifier = {
  verifyPersonalMessage: () => Promise.reject(new LedgerUnavailable("away")),
};

const ask = (...verifiers: ZkLoginVerifier[]) =>
  createQuorumZkLogin(verifiers).verifyPersonalMessage(
    new Uint8Array(1),
    "",
    "0x",
    new AbortController().signal,
  );

Deno.test("createQuorumZkLogin() takes the word that enough endpoints give, and no other", async () => {
  assertEquals(await ask(says(true), says(true)), true);
  assertEquals(await ask(says(false), says(false)), false);
  assertEquals(await ask(says(true), AWAY, says(true)), true);
  assertEquals(await ask(says(true), says(false), says(false)), false);
  for (
    const undecided of [[says(true), says(false)], [says(true), AWAY], [AWAY, AWAY], [
      says(true),
      says(false),
      AWAY,
    ]]
  ) await assertRejects(() => ask(...undecided), LedgerUnavailable, "do not agree");
});

Deno.test("createQuorumZkLogin() refuses to be asked for fewer than two", () => {
  assertThrows(() => createQuorumZkLogin([says(true)]), RangeError);
  assertThrows(() => createQuorumZkLogin([says(true), says(true)], 1), RangeError);
});
