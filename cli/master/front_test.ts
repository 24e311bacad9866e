/** The front owns its listeners: all of them are open, or none. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { loadConfig } from "../../config.ts";
import { memoryStore } from "../../tests/fakes/api.ts";
import { BootError, createSteps } from "../node/steps.ts";
import { openMasterAuthority } from "./etcd_listener.ts";
import { type Front, openFront } from "./front.ts";

const TEE = {
  kind: "SIMULATION",
  securityLevel: 1,
  covers: "none",
  measurement: new Uint8Array(48),
  sealPolicies: undefined,
  attests: true,
} as const;

/** An app that counts its requests. */
function countingApp() {
  const app = {
    requests: 0,
    fetch() {
      app.requests++;
      return new Response("here");
    },
  };
  return app;
}

/** Somebody else may listen there by now: what counts is whether `app` is asked. */
async function knock(url: string): Promise<void> {
  await fetch(url).then((answer) => answer.body?.cancel(), () => {});
}

/** @param told where each step says what it opened */
async function withFront(
  env: Readonly<Record<string, string>>,
  app: ReturnType<typeof countingApp>,
  told: Record<string, unknown>,
  use: (front: Front) => Promise<void>,
): Promise<void> {
  await using store = await memoryStore();
  const dataDir = await Deno.makeTempDir();
  const config = loadConfig({
    flags: { teeMode: "simulation", dataDir, listen: "127.0.0.1:0", tlsListen: "off" },
    env,
    isRoot: false,
    hostName: "test",
  });
  const log = getLogger(["test"]);
  try {
    await using front = await openFront({
      step: createSteps({ info: (_, told_) => Object.assign(told, told_) }, () => 0, () => false),
      app,
      config,
      node: { tee: TEE, store, tls: undefined },
      authority: await openMasterAuthority(store, config),
      adminToken: undefined,
      isProxy: false,
      host: { isRoot: false, env: {} },
      log,
    });
    await use(front);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

Deno.test("openFront() closes the HTTP listener again when the etcd listener cannot be opened", async () => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const app = countingApp();
  const told: Record<string, unknown> = {};
  const error = await assertRejects(
    () =>
      withFront(
        { NAUTILUS_ETCD_LISTEN: `127.0.0.1:${taken.addr.port}` },
        app,
        told,
        () => Promise.reject(new Error("nothing can be used")),
      ),
    BootError,
  );
  assertEquals(error.step, "etcd");
  const url = String(told["url"]);
  assert(url.startsWith("http://127.0.0.1:"), url);
  await knock(url);
  assertEquals(app.requests, 0);
});

Deno.test("openFront() tells where it listens; close() ends that, withdraw() takes the word back", async () => {
  const app = countingApp();
  await withFront({}, app, {}, async (front) => {
    const { url } = front.listeners.main;
    const endpoints = JSON.parse(await Deno.readTextFile(front.files.endpoints));
    assertEquals(endpoints.url, url);
    await knock(url);
    assertEquals(app.requests, 1);
    await front.close(0);
    await knock(url);
    assertEquals(app.requests, 1);
    await front.withdraw();
    await assertRejects(() => Deno.lstat(front.files.endpoints), Deno.errors.NotFound);
  });
});
