/** A worker's connections to its master: kept, checked, lost and made anew. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { Socket } from "node:net";
import type { Bytes } from "../backends/mod.ts";
import { openTlsIdentity, type TlsIdentity } from "../api/tls/identity.ts";
import { type TestApi, testApi } from "../tests/fakes/api.ts";
import { createConnections } from "./worker_connection.ts";
import { createMasterLink, KeptConnectionLost, WrongPeer } from "./worker_link.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Master extends AsyncDisposable {
  readonly url: URL;
  readonly spki: Bytes;
  readonly sockets: readonly Socket[];
  readonly asked: readonly string[];
  /** Another certificate, of this identity or another. */
  present(identity: TlsIdentity): void;
}

function identityOf(api: TestApi): Promise<TlsIdentity> {
  return openTlsIdentity({
    store: api.store,
    clock: Date.now,
    random: api.deps.random,
    names: [],
  });
}

/** As node:https takes them. */
function credentialsOf(identity: TlsIdentity): { key: string; cert: string } {
  const { key, certificateChain: cert } = identity.issue().credentials;
  return { key, cert };
}

async function openMaster(identity: TlsIdentity, handler: Handler): Promise<Master> {
  const sockets: Socket[] = [];
  const asked: string[] = [];
  const server = createServer(credentialsOf(identity), (request, response) => {
    asked.push(`${request.method} ${request.url}`);
    handler(request, response);
  });
  server.on("secureConnection", (socket) => sockets.push(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = (typeof address === "object" ? address : null)?.port ?? 0;
  return {
    url: new URL(`https://127.0.0.1:${port}`),
    spki: identity.spki,
    sockets,
    asked,
    present: (other) => server.setSecureContext(credentialsOf(other)),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Reads what was sent, then answers with it. */
const echo: Handler = (request, response) => {
  const chunks: Uint8Array[] = [];
  request.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  request.on("end", () => response.end(`${request.url} ${chunks.length > 0 ? "body" : ""}`.trim()));
};

const get = (path: string) => ({ method: "GET", path, timeoutMs: 30_000 });
const post = (path: string) => ({ ...get(path), method: "POST", body: new Uint8Array(10) });

Deno.test("send() keeps one connection for what is asked one after another", async () => {
  await using api = await testApi();
  await using master = await openMaster(await identityOf(api), echo);
  using link = createMasterLink(master.url, master.spki, Date.now);
  for (const path of ["/a", "/b", "/c"]) {
    assertEquals((await link.send(get(path))).body, path);
    assertEquals((await link.send(post(path))).body, `${path} body`);
  }
  assertEquals(master.sockets.length, 1);
});

Deno.test("send() gives each of several requests at a time a connection, and keeps one", async () => {
  await using api = await testApi();
  await using master = await openMaster(await identityOf(api), echo);
  using link = createMasterLink(master.url, master.spki, Date.now);
  const answers = await Promise.all(["/a", "/b", "/c"].map((path) => link.send(get(path))));
  assertEquals(answers.map(({ body }) => body), ["/a", "/b", "/c"]);
  assertEquals(master.sockets.length, 3);
  await link.send(get("/d"));
  assertEquals(master.sockets.length, 3);
});

Deno.test("send() asks a GET again where a kept connection breaks off; the rest is for the caller", async () => {
  await using api = await testApi();
  let breakOff = false;
  await using master = await openMaster(await identityOf(api), (request, response) => {
    if (!breakOff) return echo(request, response);
    breakOff = false;
    request.socket.destroy();
  });
  using link = createMasterLink(master.url, master.spki, Date.now);
  await link.send(get("/first"));
  breakOff = true;
  assertEquals((await link.send(get("/second"))).body, "/second");
  assertEquals(master.asked, ["GET /first", "GET /second", "GET /second"]);
  breakOff = true;
  await assertRejects(() => link.send(post("/third")), KeptConnectionLost);
  // A new connection that breaks off is another matter: the master is not well.
  breakOff = true;
  const error = await assertRejects(() => link.send(get("/fourth")), Error);
  assert(!(error instanceof KeptConnectionLost));
  assertEquals(master.asked.slice(3), ["POST /third", "GET /fourth"]);
  assertEquals((await link.send(post("/fifth"))).status, 200);
});

Deno.test("send() makes another connection where the master ended the kept one", async () => {
  await using api = await testApi();
  await using master = await openMaster(await identityOf(api), (request, response) => {
    response.setHeader("Connection", "close");
    echo(request, response);
  });
  using link = createMasterLink(master.url, master.spki, Date.now);
  for (let i = 1; i <= 3; i++) {
    assertEquals((await link.send(post("/x"))).status, 200);
    assertEquals(master.sockets.length, i);
  }
});

Deno.test("send() looks at the key again after ten minutes, whatever the certificate says", async () => {
  await using api = await testApi();
  await using other = await testApi();
  const identity = await identityOf(api);
  await using master = await openMaster(identity, echo);
  let now = Date.now();
  using link = createMasterLink(master.url, master.spki, () => now);
  await link.send(get("/a"));
  now += 9 * 60_000;
  await link.send(get("/b"));
  assertEquals(master.sockets.length, 1);
  master.present(identity); // renewed: another certificate for the same key
  now += 2 * 60_000;
  assertEquals((await link.send(get("/c"))).body, "/c");
  assertEquals(master.sockets.length, 2);
  // Another key at the same address is asked nothing.
  master.present(await identityOf(other));
  now += 11 * 60_000;
  await assertRejects(() => link.send(get("/d")), WrongPeer);
  assertEquals(master.asked, ["GET /a", "GET /b", "GET /c"]);
});

Deno.test("a link that is disposed of keeps no connection any more", async () => {
  await using api = await testApi();
  await using master = await openMaster(await identityOf(api), echo);
  const link = createMasterLink(master.url, master.spki, Date.now);
  await link.send(get("/a"));
  const [socket] = master.sockets;
  const ended = new Promise((resolve) => socket?.once("close", resolve));
  link[Symbol.dispose]();
  await ended;
});

Deno.test("a watch has a connection of its own, which ends with it", async () => {
  await using api = await testApi();
  await using master = await openMaster(await identityOf(api), (request, response) => {
    if (request.url !== "/watch") return echo(request, response);
    response.write("one\ntwo\n");
  });
  using link = createMasterLink(master.url, master.spki, Date.now);
  await link.send(get("/a"));
  const stop = new AbortController();
  const lines = link.lines("/watch", {}, stop.signal);
  assertEquals((await lines.next()).value, "one");
  await link.send(get("/b"));
  assertEquals(master.sockets.length, 2);
  const ended = new Promise((resolve) => master.sockets[1]?.once("close", resolve));
  await lines.return(undefined);
  await ended;
  await link.send(get("/c"));
  assertEquals(master.sockets.length, 2);
});

Deno.test("send() is given up by its signal, while it waits for the answer and before it began", async () => {
  await using api = await testApi();
  const arrived = Promise.withResolvers<void>();
  await using master = await openMaster(await identityOf(api), () => arrived.resolve());
  using link = createMasterLink(master.url, master.spki, Date.now);
  const stop = new AbortController();
  const sent = link.send({ ...post("/never"), signal: stop.signal });
  await arrived.promise;
  stop.abort(new Error("asked to stop"));
  await assertRejects(() => sent, Error, "asked to stop");
  await assertRejects(
    () => link.send({ ...post("/late"), signal: stop.signal }),
    Error,
    "asked to stop",
  );
  assertEquals(master.asked, ["POST /never"]);
});

Deno.test("createConnections() leaves no listener behind on a connection that is kept again and again", async () => {
  await using api = await testApi();
  await using master = await openMaster(await identityOf(api), echo);
  const connections = createConnections(master.url, master.spki, Date.now);
  const { signal } = new AbortController();
  const counts = new Set<number>();
  for (let i = 0; i < 20; i++) {
    const connection = await connections.take(signal);
    counts.add(connection.socket.listenerCount("close"));
    connection.release();
  }
  connections.close();
  assertEquals(counts.size, 1, [...counts].join());
});
