/** The TCP listener: TLS with a certificate made in the TEE, and clients that must show one. */
import { generateKeyPairSync, sign } from "node:crypto";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { Hono } from "@hono/hono";
import {
  CLIENT_CERTIFICATES_PATH,
  ClientRequestError,
  createEtcdServer,
  type EtcdAuthority,
  etcdCertificateRoutes,
  openEtcdAuthority,
} from "../../api/etcd/mod.ts";
import { PROOF_CONTEXT } from "../../api/etcd/authority.ts";
import type { AuditEvent } from "../../api/audit/mod.ts";
import type { ApiEnv } from "../../api/http.ts";
import { answerError } from "../../api/middleware/errors.ts";
import { PutRequest, PutResponse } from "../../api/etcd/messages.ts";
import type { Store } from "../../store/mod.ts";
import { EtcdClient } from "../etcd/client.ts";
import { etcdctlMissing } from "../etcd/reference.ts";
import { openTestStore } from "../fakes/test_store.ts";

const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
const ctlMissing = await etcdctlMissing();

interface Credentials {
  readonly name: string;
  readonly spki: Uint8Array<ArrayBuffer>;
  readonly proof: Uint8Array<ArrayBuffer>;
  readonly key: string;
}

function makeRequest(name: string, signedName = name): Credentials {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const signed = new TextEncoder().encode(PROOF_CONTEXT + signedName);
  return {
    name,
    spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
    proof: new Uint8Array(sign("sha256", signed, { key: privateKey, dsaEncoding: "der" })),
    key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}

function openAuthority(store: Store): Promise<EtcdAuthority> {
  return openEtcdAuthority({ store, clock: Date.now, random, names: ["node.example"] });
}

async function startTls(store: Store, authority: EtcdAuthority) {
  const server = await createEtcdServer({
    store,
    log: getLogger(["test"]),
    clock: () => performance.now(),
    random,
    listeners: [{ kind: "tls", host: "127.0.0.1", port: 0, tls: authority.listenerFiles() }],
    memberName: "test",
  });
  const [address] = server.addresses;
  assert(address?.kind === "tls");
  return { server, port: address.port };
}

Deno.test("the TLS listener serves clients with a certificate of its CA, and nobody else", async () => {
  await using store = await openTestStore();
  const authority = await openAuthority(store);
  await using foreignStore = await openTestStore();
  const foreign = await openAuthority(foreignStore);
  const { server, port } = await startTls(store, authority);
  const request = makeRequest("kube-apiserver");
  const put = async (cert: string | undefined, key: string | undefined) => {
    const client = await EtcdClient.connect({
      host: "localhost",
      port,
      tls: {
        ca: authority.caPem,
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      },
    });
    const answer = await client.call("/etcdserverpb.KV/Put", PutRequest, PutResponse, {
      key: new TextEncoder().encode("k"),
    });
    await client.close();
    if (!answer.ok) throw new Error(answer.message);
  };
  await put(authority.issueClient(request), request.key);
  assertEquals(store.revision("etcd"), 2);
  await assertRejects(() => put(undefined, undefined));
  await assertRejects(() => put(foreign.issueClient(request), request.key));
  // The listener's own certificate is one for servers.
  const own = authority.listenerFiles();
  await assertRejects(() => put(own.certificate, own.key));
  assertEquals(store.revision("etcd"), 2);
  await server.close(500);
});

Deno.test("renewTls() changes what new connections meet, and still wants a client's certificate", async () => {
  await using store = await openTestStore();
  await using otherStore = await openTestStore();
  const [first, second] = [await openAuthority(store), await openAuthority(otherStore)];
  const { server, port } = await startTls(store, first);
  const [old, young] = [makeRequest("old"), makeRequest("young")];
  const open = (trusted: EtcdAuthority, cert?: string, key?: string) =>
    EtcdClient.connect({
      host: "localhost",
      port,
      tls: {
        ca: trusted.caPem,
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      },
    });
  const put = async (client: EtcdClient) => {
    const key = new TextEncoder().encode("k");
    const answer = await client.call("/etcdserverpb.KV/Put", PutRequest, PutResponse, { key });
    if (!answer.ok) throw new Error(answer.message);
  };
  const connected = await open(first, first.issueClient(old), old.key);
  await put(connected);
  server.renewTls(second.listenerFiles());
  await put(connected);
  await connected.close();
  const next = await open(second, second.issueClient(young), young.key);
  await put(next);
  await next.close();
  assertEquals(store.revision("etcd"), 4);
  const refused = async (...credentials: Parameters<typeof open>) => {
    const client = await open(...credentials);
    try {
      await put(client);
    } finally {
      await client.close();
    }
  };
  await assertRejects(() => refused(first, first.issueClient(old), old.key));
  await assertRejects(() => refused(second, first.issueClient(old), old.key));
  await assertRejects(() => refused(second));
  assertEquals(store.revision("etcd"), 4);
  await server.close(500);
});

Deno.test("the etcd CA stays the same over restarts", async () => {
  await using store = await openTestStore();
  assertEquals((await openAuthority(store)).caPem, (await openAuthority(store)).caPem);
});

Deno.test("issueClient() wants a proper name, a P-256 key and its signature", async () => {
  await using store = await openTestStore();
  const authority = await openAuthority(store);
  const refuse = (request: Credentials, field: string) => {
    const error = assertThrows(() => authority.issueClient(request), ClientRequestError);
    assertEquals(error.field, field);
  };
  refuse(makeRequest("no spaces"), "name");
  refuse(makeRequest("someone", "someone else"), "proof");
  refuse({ ...makeRequest("a"), spki: new Uint8Array(10) }, "public_key");
  refuse({ ...makeRequest("a"), proof: new Uint8Array(10) }, "proof");
});

Deno.test("POST client-certificates wants the admin and names the field that is wrong", async () => {
  await using store = await openTestStore();
  const authority = await openAuthority(store);
  const app = new Hono<ApiEnv>();
  app.onError(answerError(getLogger(["test"])));
  const acts: AuditEvent[] = [];
  let isFull = false;
  etcdCertificateRoutes(app, {
    authority,
    isAdminToken: (token) => token === "admin",
    audit: {
      fingerprint: (token) => `of ${token}`,
      act(event) {
        if (isFull) return Promise.reject(new Error("the log takes nothing"));
        acts.push(event);
        return Promise.resolve();
      },
    },
  });
  const post = (token: string, body: unknown) =>
    app.request(CLIENT_CERTIFICATES_PATH, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const request = makeRequest("client");
  const body = {
    name: request.name,
    public_key: request.spki.toBase64(),
    proof: request.proof.toBase64(),
  };
  assertEquals((await post("worker", body)).status, 401);
  const bad = await post("admin", { ...body, name: "other" });
  assertEquals(bad.status, 400);
  assert((await bad.text()).includes("proof"));
  assertEquals((await post("admin", { ...body, extra: 1 })).status, 400);
  assertEquals(acts, []);
  const good = await post("admin", body);
  assertEquals(good.status, 201);
  assert((await good.text()).includes("BEGIN CERTIFICATE"));
  assertEquals(
    acts.map(({ action, actor, credential, status, detail }) => ({
      action,
      actor,
      credential,
      status,
      detail,
    })),
    [{
      action: "etcd.client-certificate",
      actor: "admin",
      credential: "of admin",
      status: 201,
      detail: "client",
    }],
  );
  isFull = true;
  const unnoted = await post("admin", body);
  assertEquals(unnoted.status, 500);
  assert(!(await unnoted.text()).includes("BEGIN CERTIFICATE"));
});

Deno.test({
  name: "etcdctl works over mutual TLS" + (ctlMissing === undefined ? "" : `: ${ctlMissing}`),
  ignore: ctlMissing !== undefined,
  async fn() {
    await using store = await openTestStore();
    const authority = await openAuthority(store);
    const { server, port } = await startTls(store, authority);
    const directory = await Deno.makeTempDir();
    const request = makeRequest("etcdctl");
    await Deno.writeTextFile(`${directory}/ca.crt`, authority.caPem);
    await Deno.writeTextFile(`${directory}/client.crt`, authority.issueClient(request));
    await Deno.writeTextFile(`${directory}/client.key`, request.key);
    const run = (...args: string[]) =>
      new Deno.Command("etcdctl", {
        args: [
          `--endpoints=https://localhost:${port}`,
          `--cacert=${directory}/ca.crt`,
          ...args,
        ],
        env: { ETCDCTL_API: "3" },
      }).output();
    const credentials = [`--cert=${directory}/client.crt`, `--key=${directory}/client.key`];
    const put = await run(...credentials, "put", "a", "1");
    assertEquals(new TextDecoder().decode(put.stdout), "OK\n");
    const get = await run(...credentials, "get", "a");
    assertEquals(new TextDecoder().decode(get.stdout), "a\n1\n");
    const refused = await run("--dial-timeout=1s", "--command-timeout=2s", "get", "a");
    assert(!refused.success);
    await server.close(500);
    await Deno.remove(directory, { recursive: true });
  },
});
