import { assert, assertEquals } from "@std/assert";
import { randomBytes } from "../tests/fakes/api.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { signerSeed } from "../api/result_outbox.ts";
import { signerAddress } from "../sui/result_signer.ts";
import { encodeSealed, SEALED_CONFIG_KEY, sealedPart } from "./node/sealed_config.ts";
import { loadConfig } from "../config.ts";
import { signerText, stopped } from "./signer.ts";

const CAP = `0x${"cc".repeat(32)}`;

Deno.test("stopped() tells the address that the store's key makes, and makes none", async () => {
  await using store = await openTestStore();
  const before = store.head().sequence;
  const without = await stopped(store);
  assertEquals([without.address, without.master_cap, without.waiting], [null, null, 0]);
  assertEquals(store.head().sequence, before);
  const seed = await signerSeed(store, randomBytes);
  const config = await sealed({ NAUTILUS_SUI_MASTER_CAP: CAP });
  await store.txn({
    compare: [],
    success: [{ type: "put", keyspace: "system", key: SEALED_CONFIG_KEY, value: config }],
    failure: [],
  });
  const { address, master_cap: cap, gas_budget_mist: budget } = await stopped(store);
  assertEquals([address, cap, budget], [await signerAddress(seed), CAP, "10000000"]);
  assert(!JSON.stringify(await stopped(store)).includes(seed.toHex()));
});

async function sealed(env: Record<string, string>) {
  const config = loadConfig({ flags: {}, env, file: undefined, isRoot: false, hostName: "n" });
  return encodeSealed(await sealedPart(config, []));
}

Deno.test("signerText() says in SUI what is held and how long it lasts, and what the state is", () => {
  const answer = {
    address: "0x1",
    state: "failing",
    detail: "0x1 holds 12000000 MIST for gas",
    master_cap: CAP,
    balance_mist: "1012000000",
    gas_budget_mist: "10000000",
    waiting: 4,
    written: 5,
    answered: 1,
    given_up: 0,
    failures: 3,
  } as const;
  assertEquals(
    signerText(answer),
    `signer     0x1
state      failing: 0x1 holds 12000000 MIST for gas
MasterCap  ${CAP}
gas        1.012 SUI held, 0.01 SUI budgeted for a result; enough for 101 results at the most that each may cost
results    4 wait, 5 written, 1 answered by others, 0 given up since the start
`,
  );
  const idle = { ...answer, balance_mist: null, gas_budget_mist: null, master_cap: null };
  assertEquals(signerText({ ...idle, written: null }).split("\n").slice(2), [
    "MasterCap  none is set",
    "gas        not looked at yet",
    "results    4 wait",
    "",
  ]);
});
