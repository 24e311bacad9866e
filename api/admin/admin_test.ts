import { assert, assertEquals, assertMatch } from "@std/assert";
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import type { Bytes } from "../../backends/mod.ts";
import type { ApiEnv } from "../http.ts";
import { randomBytes, type TestApi, testApi } from "../../tests/fakes/api.ts";
import { createChallenges } from "./challenges.ts";
import { adminSignatureInput } from "./messages.ts";
import { createAdminTokens } from "./tokens.ts";

const LOGIN = "/api/v1/admin/login";
const CHALLENGE = "/api/v1/admin/challenge";
const TLS_KEY = new Uint8Array(91).fill(9);

function keyPair(seed = randomBytes(32)) {
  const der = new Uint8Array([
    ...Uint8Array.fromHex("302e020100300506032b657004220420"),
    ...seed,
  ]);
  const key = createPrivateKey({
    key: der.toBase64(),
    format: "der",
    type: "pkcs8",
    encoding: "base64",
  });
  const spki = new Uint8Array(createPublicKey(key).export({ format: "der", type: "spki" }));
  return { key, spki: spki.toBase64() };
}

async function signed(
  pair: ReturnType<typeof keyPair>,
  purpose: "login" | "key",
  challenge: string,
  tls?: Bytes,
): Promise<string> {
  const input = await adminSignatureInput(purpose, tls, Uint8Array.fromBase64(challenge));
  return sign(null, input, pair.key).toString("base64");
}

async function challengeOf(api: TestApi): Promise<string> {
  const response = await api.app.request(CHALLENGE, { method: "POST" });
  assertEquals(response.status, 200);
  return (await response.json()).challenge;
}

async function codeOf(response: Response): Promise<[number, string]> {
  return [response.status, (await response.json()).code];
}

async function login(api: TestApi, pair: ReturnType<typeof keyPair>): Promise<string> {
  const challenge = await challengeOf(api);
  const response = await api.post(LOGIN, {
    challenge,
    signature: await signed(pair, "login", challenge),
  });
  assertEquals(response.status, 200);
  return (await response.json()).token;
}

async function canList(api: TestApi, token: string): Promise<boolean> {
  const response = await api.app.request("/api/v1/namespaces", {
    headers: { Authorization: `Bearer ${token}` },
  });
  await response.body?.cancel();
  return response.status === 200;
}

Deno.test("adminSignatureInput() is domain, TLS key and challenge: the vector of docs/API.md", async () => {
  const pair = keyPair(new Uint8Array(32).fill(1));
  const challenge = Uint8Array.from({ length: 57 }, (_, index) => index);
  const input = await adminSignatureInput("login", new Uint8Array([1, 2, 3]), challenge);
  assertEquals(
    input.toHex(),
    "6e617574696c75732d7465652f61646d696e2d6c6f67696e2f763100" +
      "039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81" +
      challenge.toHex(),
  );
  assertEquals(pair.spki, "MCowBQYDK2VwAyEAiojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w=");
  assertEquals(
    sign(null, input, pair.key).toString("hex"),
    "c14e065a1ce624eb5657affab26405c8a378843cc157087a74d74f700ef69f31" +
      "1f0c2d54f8b4e1c264524e2a450c42ba7bb774414daa2e31fef8911a517d340d",
  );
});

Deno.test("a signed challenge gives a token that works, once", async () => {
  const pair = keyPair();
  await using api = await testApi({ admin: { key: pair.spki } });
  const challenge = await challengeOf(api);
  const body = { challenge, signature: await signed(pair, "login", challenge), ttl_seconds: 120 };
  const response = await api.post(LOGIN, body);
  assertEquals(response.status, 200);
  const answer = await response.json();
  assertMatch(answer.token, /^nta_/);
  assertEquals(answer.expires_at, api.time.now / 1000 + 120);
  assert(await canList(api, answer.token));
  assertEquals(await codeOf(await api.post(LOGIN, body)), [401, "challenge_used"]);
  api.time.now += 120_000;
  assertEquals(await canList(api, answer.token), false);
});

Deno.test("a login is refused for another key, another purpose, an old challenge, another start", async () => {
  const [pair, other] = [keyPair(), keyPair()];
  await using api = await testApi({ admin: { key: pair.spki } });
  await using restarted = await testApi({ admin: { key: pair.spki } });
  const challenge = await challengeOf(api);
  const attempt = async (signature: string, text = challenge, at = api) =>
    await codeOf(await at.post(LOGIN, { challenge: text, signature }));
  assertEquals(await attempt(await signed(other, "login", challenge)), [401, "bad_signature"]);
  assertEquals(await attempt(await signed(pair, "key", challenge)), [401, "bad_signature"]);
  // Over another connection than the one that carries it.
  assertEquals(await attempt(await signed(pair, "login", challenge, TLS_KEY)), [
    401,
    "bad_signature",
  ]);
  const good = await signed(pair, "login", challenge);
  assertEquals(await attempt(good, challenge, restarted), [401, "challenge_malformed"]);
  const bytes = Uint8Array.fromBase64(challenge);
  bytes[24] = (bytes[24] ?? 0) ^ 1;
  assertEquals(await attempt(good, bytes.toBase64()), [401, "challenge_malformed"]);
  api.time.now += 60_000;
  assertEquals(await attempt(good), [401, "challenge_expired"]);
  api.time.now -= 61_000;
  assertEquals(await attempt(good), [401, "challenge_expired"]);
});

Deno.test("a login over TLS is bound to the key of the connection", async () => {
  const pair = keyPair();
  await using api = await testApi({
    admin: { key: pair.spki, tls: { spki: TLS_KEY, caPem: "the CA" } },
  });
  const send = async (tls: Bytes | undefined) => {
    const challenge = await challengeOf(api);
    const env: ApiEnv["Bindings"] = {
      connection: {
        remoteAddress: "192.0.2.1",
        encrypted: true,
        disconnected: () => new AbortController().signal,
      },
    };
    return await api.app.request(LOGIN, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ challenge, signature: await signed(pair, "login", challenge, tls) }),
    }, env);
  };
  assertEquals(await codeOf(await send(undefined)), [401, "bad_signature"]);
  assertEquals(await codeOf(await send(new Uint8Array(91))), [401, "bad_signature"]);
  const response = await send(TLS_KEY);
  assertEquals([response.status, (await response.json()).certificate_authority], [200, "the CA"]);
});

Deno.test("without an admin key nobody logs in", async () => {
  await using api = await testApi();
  assertEquals(await codeOf(await api.post(CHALLENGE, undefined)), [503, "admin_not_configured"]);
});

Deno.test("logins are limited by address", async () => {
  const pair = keyPair();
  await using api = await testApi({ admin: { key: pair.spki } });
  const env: ApiEnv["Bindings"] = {
    connection: {
      remoteAddress: "192.0.2.7",
      encrypted: false,
      disconnected: () => new AbortController().signal,
    },
  };
  const statuses = new Set<number>();
  for (let i = 0; i < 60; i++) {
    const response = await api.app.request(CHALLENGE, { method: "POST" }, env);
    await response.body?.cancel();
    statuses.add(response.status);
  }
  assertEquals([...statuses], [200, 429]);
});

Deno.test("rotation makes another key the admin's and ends all tokens", async () => {
  const [before, after] = [keyPair(), keyPair()];
  const sealed: string[] = [];
  await using api = await testApi({
    admin: { key: before.spki, replaceKey: (key) => Promise.resolve(void sealed.push(key)) },
  });
  const token = await login(api, before);
  const rotate = async (pair: typeof after, purpose: "login" | "key", bearer: string) => {
    const challenge = await challengeOf(api);
    return await api.post("/api/v1/admin/key", {
      public_key: pair.spki,
      challenge,
      signature: await signed(after, purpose, challenge),
    }, { Authorization: `Bearer ${bearer}` });
  };
  const anonymous = await rotate(after, "key", "nta_nobody");
  assertEquals(anonymous.status, 401);
  await anonymous.body?.cancel();
  assertEquals(await codeOf(await rotate(after, "login", token)), [401, "bad_signature"]);
  assertEquals(await codeOf(await rotate(before, "key", token)), [409, "admin_key_unchanged"]);
  assertEquals(sealed, []);
  const done = await rotate(after, "key", token);
  assertEquals([done.status, (await done.json()).public_key], [200, after.spki]);
  assertEquals(sealed, [after.spki]);
  assertEquals(await canList(api, token), false);
  assert(await canList(api, await login(api, after)));
  const challenge = await challengeOf(api);
  const old = { challenge, signature: await signed(before, "login", challenge) };
  assertEquals(await codeOf(await api.post(LOGIN, old)), [401, "bad_signature"]);
});

Deno.test("tokens are revoked one by one and all together", async () => {
  const pair = keyPair();
  await using api = await testApi({ admin: { key: pair.spki } });
  const [one, two, three] = [
    await login(api, pair),
    await login(api, pair),
    await login(api, pair),
  ];
  const revoke = async (tokenId: string, bearer: string) => {
    const response = await api.post("/api/v1/admin/revoke", { token_id: tokenId }, {
      Authorization: `Bearer ${bearer}`,
    });
    await response.body?.cancel();
    return response.status;
  };
  assertEquals(await revoke("self", one), 200);
  assertEquals([await canList(api, one), await canList(api, two)], [false, true]);
  assertEquals(await revoke("self", one), 401);
  assertEquals(await revoke("all", two), 200);
  assertEquals([await canList(api, two), await canList(api, three)], [false, false]);
});

Deno.test("admin tokens: no bit of one may change, another start knows none", () => {
  const clock = () => 1_790_000_000_000;
  const secret = new Uint8Array(32).fill(3);
  const tokens = createAdminTokens(secret, new Uint8Array(32).fill(4), clock, randomBytes);
  const { token, claims } = tokens.issue(60);
  assertEquals(tokens.verify(token), claims);
  const restarted = createAdminTokens(secret, new Uint8Array(32).fill(5), clock, randomBytes);
  assertEquals(restarted.verify(token), undefined);
  for (let i = 0; i < token.length; i++) {
    const changed = token.slice(0, i) + (token[i] === "A" ? "B" : "A") + token.slice(i + 1);
    assertEquals(tokens.verify(changed), undefined, `character ${i}`);
  }
  assertEquals(tokens.verify(`${token}A`), undefined);
});

Deno.test("createChallenges() remembers what was used, and only that, until it ends", () => {
  const time = { now: 1_790_000_000_000 };
  const challenges = createChallenges(randomBytes(32), () => time.now, randomBytes);
  const { challenge } = challenges.issue();
  assertEquals(challenges.check(challenge), "good");
  assert(challenges.burn(challenge));
  assertEquals([challenges.check(challenge), challenges.burn(challenge)], ["used", false]);
  time.now += 60_000;
  assertEquals(challenges.check(challenge), "expired");
});
