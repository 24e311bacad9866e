/** The credential of the upstream: read, sealed, used over TLS, never told. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { openTlsIdentity } from "../../api/tls/identity.ts";
import { memoryStore, testApi } from "../../tests/fakes/api.ts";
import { ConfigError, loadConfig } from "../../config.ts";
import { listenTls } from "../../tests/fakes/tls_listener.ts";
import { sealedUpstream } from "../node/k8s_credential.ts";
import { openUpstream } from "./k8s_upstream.ts";

const TOKEN = "a-token-of-the-upstream-0123456789";

function settings(given: Record<string, unknown>) {
  return loadConfig({ flags: given, env: {}, isRoot: false, hostName: "h" });
}

Deno.test("openUpstream() keeps the credential in the store and sends it to the upstream alone", async () => {
  // Our own listener plays the kube-apiserver: what it answers tells whether the token came.
  await using api = await testApi({ deps: { isAdminToken: (token) => token === TOKEN } });
  const { server, caPem } = await listenTls(api);
  const folder = await Deno.makeTempDir();
  await using store = await memoryStore();
  try {
    const k8sApiCredential = `${folder}/token`;
    await Deno.writeTextFile(k8sApiCredential, `${TOKEN}\n`);
    const config = settings({ k8sApiEndpoint: server.url, k8sApiCa: caPem, k8sApiCredential });
    const sealed = await sealedUpstream(config);
    assertEquals(JSON.stringify(sealed).includes(TOKEN), false);
    {
      using upstream = await openUpstream(store, sealed, config);
      const response = await upstream?.fetch(new Request(`${server.url}/api`));
      assertEquals(response?.status, 200);
      await response?.body?.cancel();
    }
    // The file is gone, and no setting names it: the sealed one is there.
    await Deno.remove(k8sApiCredential);
    {
      using upstream = await openUpstream(store, sealed, settings({}));
      const response = await upstream?.fetch(new Request(`${server.url}/api`));
      assertEquals(response?.status, 200);
      await response?.body?.cancel();
    }
    {
      using stranger = await openUpstream(store, { ...sealed, k8sApiCa: null }, settings({}));
      await assertRejects(
        () => stranger?.fetch(new Request(`${server.url}/api`)) ?? Promise.resolve(),
        TypeError,
      );
    }
  } finally {
    await server.close(200);
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("openUpstream() gives each request under way a connection, where HTTP/2 would share one", async () => {
  await using store = await memoryStore();
  const tls = await openTlsIdentity({
    store,
    clock: Date.now,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    names: [],
  });
  const { key, certificateChain: cert } = tls.issue().credentials;
  using listener = Deno.listenTls({
    hostname: "127.0.0.1",
    port: 0,
    key,
    cert,
    alpnProtocols: ["h2", "http/1.1"],
  });
  const folder = await Deno.makeTempDir();
  try {
    const k8sApiCredential = `${folder}/token`;
    await Deno.writeTextFile(k8sApiCredential, TOKEN);
    const k8sApiEndpoint = `https://127.0.0.1:${listener.addr.port}`;
    const config = settings({ k8sApiEndpoint, k8sApiCa: tls.caPem, k8sApiCredential });
    using upstream = await openUpstream(store, await sealedUpstream(config), config);
    assert(upstream !== undefined);
    const asked = ["/a", "/b"].map((path) =>
      upstream.fetch(new Request(`${k8sApiEndpoint}${path}`))
    );
    // Both are taken before either is answered.
    const connections = [await listener.accept(), await listener.accept()];
    for (const connection of connections) {
      assertEquals((await connection.handshake()).alpnProtocol, "http/1.1");
      await connection.read(new Uint8Array(4_096));
      const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
      await connection.write(new TextEncoder().encode(answer));
    }
    for (const response of await Promise.all(asked)) {
      assertEquals(response.status, 200);
      await response.body?.cancel();
    }
    for (const connection of connections) connection.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("openUpstream() and its settings refuse what cannot be, without quoting the credential", async () => {
  await using store = await memoryStore();
  const folder = await Deno.makeTempDir();
  const file = `${folder}/credential`;
  try {
    for (const text of ["short", "two\nlines-of-a-token", "-----BEGIN CERTIFICATE-----\nx"]) {
      await Deno.writeTextFile(file, text);
      const error = await assertRejects(
        () => sealedUpstream(settings({ k8sApiCredential: file })),
        ConfigError,
      );
      assertEquals(error.message.includes(text), false);
    }
    await assertRejects(
      () => sealedUpstream(settings({ k8sApiCredential: `${folder}/none` })),
      ConfigError,
    );
    const none = { k8sApiEndpoint: null, k8sApiCa: null, k8sApiCredential: null };
    assertEquals(await openUpstream(store, none, settings({})), undefined);
    const cases = [
      { ...none, k8sApiEndpoint: "https://k.test" },
      { ...none, k8sApiCredential: "sha256:00" },
      { ...none, k8sApiEndpoint: "https://k.test", k8sApiCredential: "sha256:00" },
    ];
    for (const sealed of cases) {
      await assertRejects(() => openUpstream(store, sealed, settings({})), ConfigError);
    }
    for (const value of ["http://k.test", "https://k.test/path", "https://u:p@k.test", "k.test"]) {
      const error = await assertRejects(
        () => Promise.try(() => settings({ k8sApiEndpoint: value })),
        ConfigError,
      );
      assertStringIncludes(error.message, "--k8s-api-endpoint");
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
