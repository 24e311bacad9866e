import { X509Certificate } from "node:crypto";
import { connect, TLSSocket } from "node:tls";
import { request } from "node:https";
import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { Hono } from "@hono/hono";
import { memoryStore, randomBytes } from "../../tests/fakes/api.ts";
import { DEFAULT_SERVER_LIMITS, listen } from "../server.ts";
import { openTlsIdentity } from "./identity.ts";
import { deriveTlsKey } from "./keys.ts";

const clock = () => Date.now();

Deno.test("deriveTlsKey() is stable per secret and purpose", () => {
  const secret = new Uint8Array(32).fill(3);
  const hex = (purpose: "ca" | "server") => deriveTlsKey(secret, purpose).spki.toHex();
  assertEquals(hex("ca"), hex("ca"));
  assertNotEquals(hex("ca"), hex("server"));
  assertEquals(deriveTlsKey(secret, "ca").spki.length, 91);
});

Deno.test("openTlsIdentity() keeps CA and server key over restarts and issues for its names", async () => {
  await using store = await memoryStore();
  const options = { store, clock, random: randomBytes, names: ["node.example", "10.1.2.3"] };
  const first = await openTlsIdentity(options);
  const second = await openTlsIdentity(options);
  assertEquals(second.caPem, first.caPem);
  assertEquals(second.spki, first.spki);
  const issued = first.issue();
  const ca = new X509Certificate(first.caPem);
  const leaf = new X509Certificate(issued.certificate);
  assert(ca.ca && ca.verify(ca.publicKey));
  assert(!leaf.ca && leaf.verify(ca.publicKey));
  assertEquals(leaf.checkIssued(ca), true);
  for (const name of ["localhost", "node.example"]) assertEquals(leaf.checkHost(name), name);
  for (const ip of ["127.0.0.1", "10.1.2.3", "::1"]) assert(leaf.checkIP(ip) !== undefined, ip);
  assertEquals(leaf.checkHost("elsewhere.example"), undefined);
  assertEquals(new Uint8Array(leaf.publicKey.export({ format: "der", type: "spki" })), first.spki);
  assert(issued.renewAtMs < issued.notAfterMs);
  assertNotEquals(leaf.serialNumber, new X509Certificate(first.issue().certificate).serialNumber);
});

Deno.test("listen() with TLS serves who trusts the CA, and renews without dropping anybody", async () => {
  await using store = await memoryStore();
  const identity = await openTlsIdentity({ store, clock, random: randomBytes, names: [] });
  const app = new Hono();
  app.get("/x", (c) => c.text("hello"));
  const first = identity.issue();
  const server = await listen(app, {
    host: "127.0.0.1",
    port: 0,
    tls: first.credentials,
    limits: DEFAULT_SERVER_LIMITS,
    log: getLogger(["test"]),
  });
  try {
    assertMatch(server.url, /^https:/);
    const { body, serial } = await get(server.port, identity.caPem);
    assertEquals(body, "hello");
    assertEquals(serial, new X509Certificate(first.certificate).serialNumber);

    const open = connect({
      host: "127.0.0.1",
      port: server.port,
      ca: identity.caPem,
      servername: "localhost",
    });
    await new Promise<void>((resolve, reject) => {
      open.once("secureConnect", resolve);
      open.once("error", reject);
    });
    const next = identity.issue();
    server.renewCertificate(next.credentials);
    open.write("GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let text = "";
    for await (const chunk of open) text += String(chunk);
    assert(text.endsWith("hello"), text);
    const renewed = await get(server.port, identity.caPem);
    assertEquals(renewed.serial, new X509Certificate(next.certificate).serialNumber);
  } finally {
    await server.close(200);
  }
});

function get(port: number, ca: string): Promise<{ body: string; serial: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ body: string; serial: string }>();
  request({
    host: "localhost",
    port,
    path: "/x",
    ca,
    agent: false,
    family: 4,
    headers: { Connection: "close" },
  }, (response) => {
    const { socket } = response;
    const serial = socket instanceof TLSSocket ? socket.getPeerCertificate().serialNumber : "";
    let body = "";
    response.on("data", (chunk: Uint8Array) => body += new TextDecoder().decode(chunk));
    response.once("end", () => resolve({ body, serial }));
  }).once("error", reject).end();
  return promise;
}
