import { assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { ConfigError, loadConfig } from "../config.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { reconcileConfig } from "./node/reconcile_config.ts";
import { openWorkerAppraiser, readWorkerPolicy } from "./worker_policy.ts";

const ADMIN_KEY = "MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=";
const log = getLogger(["test"]);

function config(flags: Readonly<Record<string, unknown>>) {
  return loadConfig({
    flags: { adminKey: ADMIN_KEY, ...flags },
    env: {},
    isRoot: true,
    hostName: "host",
  });
}

async function withFiles(
  texts: Readonly<Record<string, string>>,
  act: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(texts)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    await act(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const policy = (id: string) => JSON.stringify({ version: 1, id });

Deno.test("reconcileConfig() seals the worker policy's text; another is refused, the file may go", async () => {
  await withFiles({ a: policy("a"), b: policy("b") }, async (folder) => {
    await using plain = await openTestStore();
    const without = await reconcileConfig(plain, config({}), false);
    assertEquals(without.sealed.workerPolicy, null);
    await using store = await openTestStore();
    const first = await reconcileConfig(store, config({ workerPolicy: `${folder}/a` }), false);
    assertEquals(first.sealed.workerPolicy, { id: "a", text: policy("a") });
    assertNotEquals(first.digest.toHex(), without.digest.toHex());
    await Deno.remove(`${folder}/a`);
    const again = await reconcileConfig(store, config({}), false);
    assertEquals([again.sealed.workerPolicy?.id, again.digest], ["a", first.digest]);
    const error = await assertRejects(
      () => reconcileConfig(store, config({ workerPolicy: `${folder}/b` }), false),
      ConfigError,
    );
    assertStringIncludes(error.message, "--worker-policy");
  });
});

Deno.test("readWorkerPolicy() refuses what is no policy, naming the setting and the file", async () => {
  await withFiles({ none: "{}" }, async (folder) => {
    for (const name of ["none", "missing"]) {
      const error = await assertRejects(() => readWorkerPolicy(`${folder}/${name}`), ConfigError);
      assertStringIncludes(error.message, `--worker-policy: ${folder}/${name}`);
    }
    assertEquals(await readWorkerPolicy(undefined), null);
  });
});

Deno.test("openWorkerAppraiser() is there where a policy is sealed, and never beside bearer tokens", async () => {
  const workerPolicy = { id: "a", text: policy("a") };
  const age = { workerEvidenceMaxAgeSeconds: 3_600 };
  const none = { ...age, workerPolicy: null, legacyBearerTokens: true };
  assertEquals(await openWorkerAppraiser(none, log, Date.now), undefined);
  const opened = await openWorkerAppraiser(
    { ...age, workerPolicy, legacyBearerTokens: false },
    log,
    () => 0,
  );
  assertEquals(opened?.policyDigest.length, 64);
  // A policy without a section affirms nothing.
  const evidence = { teeType: "SEV", data: new Uint8Array(1184), endorsements: [] } as const;
  const answer = await opened?.appraise(evidence, new Uint8Array(64));
  assertEquals(answer?.accepted, false);
  await assertRejects(
    () => openWorkerAppraiser({ ...age, workerPolicy, legacyBearerTokens: true }, log, Date.now),
    ConfigError,
    "contradict",
  );
});
