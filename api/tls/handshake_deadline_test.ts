import { assertEquals } from "@std/assert";
import { connect } from "node:net";
import { connect as connectTls, createServer } from "node:tls";
import { memoryStore } from "../../tests/fakes/api.ts";
import { limitHandshakes } from "./handshake_deadline.ts";
import { openTlsIdentity } from "./identity.ts";

async function openServer(timeoutMs: number, mostPending: number) {
  await using store = await memoryStore();
  const identity = await openTlsIdentity({
    store,
    clock: Date.now,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    names: [],
  });
  const { key, certificateChain: cert } = identity.issue().credentials;
  const server = createServer({ key, cert }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes) => socket.end(bytes));
  });
  limitHandshakes(server, timeoutMs, mostPending);
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new TypeError("no port");
  return {
    to: { host: "127.0.0.1", port: address.port },
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

Deno.test("limitHandshakes() ends a connection that says nothing, or not enough", async () => {
  await using server = await openServer(50, 100);
  for (const bytes of [[], [0x16], [0x16, 3, 1, 2, 0, 1, 0]]) {
    const socket = connect(server.to);
    socket.on("error", () => {});
    socket.resume();
    const closed = new Promise((resolve) => socket.once("close", resolve));
    if (bytes.length > 0) socket.write(Uint8Array.from(bytes));
    await closed; // nobody but the server ends it
  }
});

Deno.test("limitHandshakes() leaves alone what finished its handshake", async () => {
  await using server = await openServer(60_000, 1);
  for (let i = 0; i < 3; i++) {
    // With room for one handshake at a time: each of them gave its place back.
    const socket = connectTls({ ...server.to, rejectUnauthorized: false });
    const answer = new Promise<string>((resolve, reject) => {
      socket.once("data", (bytes: Uint8Array) => resolve(new TextDecoder().decode(bytes)));
      socket.once("error", reject);
    });
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.once("secureConnect", () => socket.write("hello"));
    assertEquals(await answer, "hello");
    socket.end();
    await closed;
  }
});

Deno.test("limitHandshakes() closes at once what comes while too many are at their handshake", async () => {
  await using server = await openServer(60_000, 2);
  const silent = [connect(server.to), connect(server.to)];
  for (const socket of silent) socket.on("error", () => {});
  await Promise.all(
    silent.map((socket) => new Promise((resolve) => socket.once("connect", resolve))),
  );
  const third = connect(server.to);
  third.on("error", () => {});
  third.resume();
  await new Promise((resolve) => third.once("close", resolve));
  const gone = silent.map((socket) => new Promise((resolve) => socket.once("close", resolve)));
  for (const socket of silent) socket.destroy();
  await Promise.all(gone);
});
