/** The credential of the upstream as a certificate and its key: what proves the master over TLS. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:https";
import { type EtcdAuthority, openEtcdAuthority, PROOF_CONTEXT } from "../../api/etcd/authority.ts";
import { loadConfig } from "../../config.ts";
import { memoryStore } from "../../tests/fakes/api.ts";
import { sealedUpstream } from "../node/k8s_credential.ts";
import { openUpstream } from "./k8s_upstream.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));

async function authority(): Promise<EtcdAuthority> {
  await using store = await memoryStore();
  return await openEtcdAuthority({ store, clock: Date.now, random, names: [] });
}

/** A certificate of this name and its key, in PEM, in any order. */
function credential(by: EtcdAuthority, name: string): string {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signed = new TextEncoder().encode(PROOF_CONTEXT + name);
  const certificate = by.issueClient({
    name,
    spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
    proof: new Uint8Array(sign("sha256", signed, { key: privateKey, dsaEncoding: "der" })),
  });
  return `${privateKey.export({ format: "pem", type: "pkcs8" })}${certificate}`;
}

Deno.test("openUpstream() proves itself by a client certificate, and sends no other credential", async () => {
  const own = await authority();
  const stranger = await authority();
  const { certificate: cert, key, clientAuthorities: ca } = own.listenerFiles();
  const seen: unknown[] = [];
  const server = createServer(
    { cert, key, ca, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      seen.push(request.headers.authorization);
      response.end("ok");
    },
  );
  server.on("secureConnection", (socket) => seen.push(socket.getPeerCertificate().subject.CN));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert(typeof address === "object" && address !== null);
  const origin = `https://127.0.0.1:${address.port}`;
  const folder = await Deno.makeTempDir();
  /** What a master with this credential is answered. */
  const ask = async (text: string): Promise<string> => {
    await using store = await memoryStore();
    const path = `${folder}/credential.pem`;
    await Deno.writeTextFile(path, text);
    const given = loadConfig({
      flags: { k8sApiEndpoint: origin, k8sApiCa: own.caPem, k8sApiCredential: path },
      env: {},
      isRoot: false,
      hostName: "h",
    });
    using upstream = await openUpstream(store, await sealedUpstream(given), given);
    assert(upstream !== undefined);
    return await (await upstream.fetch(new Request(`${origin}/api`))).text();
  };
  try {
    assertEquals(await ask(credential(own, "nautilus-master")), "ok");
    assertEquals(seen, ["nautilus-master", undefined]);
    await assertRejects(() => ask(credential(stranger, "nautilus-master")), TypeError);
    assertEquals(seen.length, 2);
  } finally {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
    await Deno.remove(folder, { recursive: true });
  }
});
