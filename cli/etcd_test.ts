import { X509Certificate } from "node:crypto";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Hono } from "@hono/hono";
import { getLogger } from "@logtape/logtape";
import { etcdCertificateRoutes, openEtcdAuthority } from "../api/etcd/mod.ts";
import type { ApiEnv } from "../api/http.ts";
import { answerError } from "../api/middleware/errors.ts";
import { DEFAULT_SERVER_LIMITS, listen } from "../api/server.ts";
import { openTestStore } from "../tests/fakes/test_store.ts";
import { type CommandIo, UsageError } from "./command.ts";
import { etcd } from "./etcd.ts";
import { adminKubeconfig } from "./client/kubeconfig.ts";

function commandIo(args: readonly string[], out: string[]): CommandIo {
  return {
    args,
    env: {},
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    isRoot: false,
    hostName: "test",
    startedAt: 0,
    stdout: (text) => void out.push(text),
    stderr: (text) => void out.push(text),
    spawnWorker: () => {
      throw new Error("no worker is wanted here");
    },
  };
}

Deno.test("etcd client-cert writes a certificate that the master's CA signed, and its key", async () => {
  await using store = await openTestStore();
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const authority = await openEtcdAuthority({ store, clock: Date.now, random, names: [] });
  const app = new Hono<ApiEnv>();
  app.onError(answerError(getLogger(["test"])));
  const noted: string[] = [];
  etcdCertificateRoutes(app, {
    authority,
    isAdminToken: (token) => token === "admin-token",
    audit: {
      fingerprint: (token) => `of ${token}`,
      act({ action, detail }) {
        noted.push(`${action} ${detail}`);
        return Promise.resolve();
      },
    },
  });
  const server = await listen(app, {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    limits: DEFAULT_SERVER_LIMITS,
    log: getLogger(["test"]),
  });
  const directory = await Deno.makeTempDir();
  const kubeconfig = async (token: string) => {
    const path = `${directory}/kubeconfig`;
    const text = adminKubeconfig({ server: server.url, token, certificateAuthority: undefined });
    await Deno.writeTextFile(path, text);
    return path;
  };
  const run = (out: string[], ...args: string[]) => etcd.run(commandIo(args, out));
  try {
    const out: string[] = [];
    const path = await kubeconfig("admin-token");
    const target = `${directory}/certs`;
    const args = ["client-cert", "--name", "me", "--out", target, "--kubeconfig", path];
    assertEquals(await run(out, ...args), 0);
    assertStringIncludes(out.join(""), "client.key");
    const certificate = new X509Certificate(await Deno.readTextFile(`${target}/client.crt`));
    const ca = new X509Certificate(await Deno.readTextFile(`${target}/ca.crt`));
    assert(certificate.verify(ca.publicKey));
    assertStringIncludes(certificate.subject, "CN=me");
    for (const file of ["ca.crt", "client.crt", "client.key"]) {
      assertEquals((await Deno.stat(`${target}/${file}`)).mode! & 0o777, 0o600, file);
    }
    await kubeconfig("somebody");
    await assertRejects(() => run([], ...args), Error, "401");
    await assertRejects(() => run([], "client-cert", "--out", target), UsageError, "--name");
    await assertRejects(() => run([], "other", "--name", "x", "--out", target), UsageError);
    await assertRejects(
      () => run([], "client-cert", "--name", "a b", "--out", target, "--kubeconfig", path),
      UsageError,
      "a b",
    );
    assertEquals(noted, ["etcd.client-certificate me"]);
  } finally {
    await server.close(200);
    await Deno.remove(directory, { recursive: true });
  }
});
