import { assertEquals, assertRejects } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { createHash } from "node:crypto";
import { ConfigError } from "../../config.ts";
import { memoryStore, randomBytes } from "../../tests/fakes/api.ts";
import { k3sCaHash, openK3s } from "./k3s.ts";

const PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

Deno.test("k3sCaHash() is SHA-256 of the one certificate's PEM, and refuses a bundle", async () => {
  assertEquals(await k3sCaHash(PEM), createHash("sha256").update(PEM).digest("hex"));
  await assertRejects(() => k3sCaHash(PEM + PEM), ConfigError, "exactly one certificate");
});

Deno.test("openK3s() is off without a server, and refuses where no honest token can be made", async () => {
  await using store = await memoryStore();
  const upstream = {
    origin: "https://cluster.test",
    fetch: () => Promise.reject(new TypeError("nothing is asked at opening")),
  };
  const open = (k3sServerUrl: string | null, k8sApiCa: string | null, there = true) =>
    openK3s({
      sealed: { k3sServerUrl, k8sApiCa },
      upstream: there ? upstream : undefined,
      store,
      workers: { liveAdmission: () => undefined, get: () => undefined },
      log: getLogger(["test"]),
      clock: () => 0,
      random: randomBytes,
    });
  assertEquals(await open(null, PEM), undefined);
  const url = "https://k3s.test:6443";
  assertEquals(await (await open(url, PEM))?.revoke(), 0);
  await assertRejects(() => open(url, PEM, false), ConfigError, "--k8s-api-endpoint");
  await assertRejects(() => open(url, null), ConfigError, "--k8s-api-ca");
  await assertRejects(() => open(url, PEM + PEM), ConfigError, "exactly one");
});
