import { assert, assertEquals, assertMatch, assertObjectMatch } from "@std/assert";
import { NO_WRITE_BACK } from "./result_writer.ts";
import { BackendError } from "../backends/mod.ts";
import { type ApiDeps, DEFAULT_LIMITS } from "./deps.ts";
import { SEAL_TOKEN, testApi } from "../tests/fakes/api.ts";

const REGISTER = "/api/v1/register-worker";
const HEARTBEAT = "/api/v1/nodes/heartbeat";

async function problem(response: Response, status: number, code: string) {
  assertEquals(response.headers.get("content-type"), "application/problem+json");
  const document = await response.json();
  assertEquals([response.status, document.status, document.code], [status, status, code]);
  assertEquals(document.type, `urn:nautilus-tee:problem:${code}`);
  assertEquals(document.request_id, response.headers.get("x-request-id"));
  return document;
}

Deno.test("createApp() gives every answer a request id and headers against browsers", async () => {
  await using api = await testApi();
  const own = await api.app.request("/health");
  assertMatch(own.headers.get("x-request-id") ?? "", /^[0-9a-f]{12}-/);
  assertEquals(own.headers.get("x-content-type-options"), "nosniff");
  assertEquals(own.headers.get("cache-control"), "no-store");
  await own.body?.cancel();
  const given = await api.app.request("/health", { headers: { "X-Request-Id": "abc-1" } });
  assertEquals(given.headers.get("x-request-id"), "abc-1");
  await given.body?.cancel();
  const hostile = await api.app.request("/health", { headers: { "X-Request-Id": "a b<script>" } });
  assertMatch(hostile.headers.get("x-request-id") ?? "", /^[0-9a-f]{12}-/);
  await hostile.body?.cancel();
});

Deno.test("createApp() answers what is not there with a 404 problem", async () => {
  await using api = await testApi();
  await problem(await api.app.request("/nothing"), 404, "not_found");
});

Deno.test("createApp() answers wrong methods with 405 and Allow", async () => {
  await using api = await testApi();
  const cases: [string, string, string][] = [
    ["POST", "/health", "GET, HEAD"],
    ["DELETE", "/readyz", "GET, HEAD"],
    ["POST", "/livez/ping", "GET, HEAD"],
    ["POST", "/api/v1/attestation", "GET, HEAD"],
    ["PUT", "/api/v1/security-context", "GET, HEAD"],
    ["GET", REGISTER, "POST"],
    ["GET", "/api/v1/sui-events", "POST"],
  ];
  for (const [method, path, allow] of cases) {
    const response = await api.app.request(path, { method });
    assertEquals(response.headers.get("allow"), allow, `${method} ${path}`);
    await problem(response, 405, "method_not_allowed");
  }
});

Deno.test("/health has the first implementation's fields and tells the truth in each", async () => {
  await using api = await testApi();
  const response = await api.app.request("/health");
  assertEquals(response.status, 200);
  assertEquals(await response.json(), {
    status: "healthy",
    enclave: false,
    components: [
      "http-api",
      "kubernetes-api",
      "sealed-store",
      "attestation",
      "admission",
      "chain-listener",
    ],
    sui_events: "connected",
    sui_events_detail: "at checkpoint 7",
    tee_type: "SIMULATION",
    security_level: 1,
    covers: "none",
    measurement: "07".repeat(48),
    timestamp: api.time.now / 1000,
    version: "0.0.0-test",
    rollback_protection: "none",
    anchored_sequence: null,
    chain_trust: "single",
    admission: "configured",
    result_write_back: "off",
    result_write_back_detail: NO_WRITE_BACK.detail,
    result_signer: null,
    problems: [],
  });
});

Deno.test("/health says what is missing", async () => {
  await using api = await testApi({ withoutValidator: true });
  api.chain.status = {
    ...api.chain.status,
    state: "disabled",
    detail: "no contract is configured",
  };
  const without = await (await api.app.request("/health")).json();
  assertEquals(without.status, "healthy");
  assertEquals(without.sui_events, "disabled");
  assertEquals(without.admission, "not_configured");
  assert(!without.components.includes("chain-listener"));
  assert(!without.components.includes("admission"));
  api.chain.status = { ...api.chain.status, state: "unreachable", detail: "refused" };
  const down = await api.app.request("/health");
  assertEquals(down.status, 200);
  assertObjectMatch(await down.json(), { status: "degraded", sui_events: "unreachable" });
});

Deno.test("/health is 503 and failed once the store is", async () => {
  await using api = await testApi();
  const failed = { ...api.deps, store: failedStore(api.deps.store) };
  const { createApp } = await import("./app.ts");
  const app = createApp(failed);
  const response = await app.request("/health");
  assertEquals(response.status, 503);
  assertEquals((await response.json()).status, "failed");
  const ready = await app.request("/readyz");
  assertEquals(ready.status, 503);
  assertMatch(await ready.text(), /\[-\]store failed/);
});

Deno.test("/health and /readyz say that the disk does not answer", async () => {
  await using api = await testApi();
  const stats = () => ({ ...api.deps.store.stats(), waitingMs: 7_300 });
  const { createApp } = await import("./app.ts");
  const app = createApp({ ...api.deps, store: storeWith(api.deps.store, { stats }) });
  const health = await (await app.request("/health")).json();
  assertEquals(health.status, "degraded");
  assertEquals(health.problems[0], "the disk has not answered a write for 7 s");
  const ready = await app.request("/readyz/store");
  assertEquals(ready.status, 503);
  assertMatch(await ready.text(), /the disk has not answered a write for 7 s/);
});

function storeWith(
  store: ApiDeps["store"],
  other: Readonly<Record<string, unknown>>,
): ApiDeps["store"] {
  return new Proxy(store, {
    get(target, property) {
      if (typeof property === "string" && Object.hasOwn(other, property)) return other[property];
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function failedStore(store: ApiDeps["store"]): ApiDeps["store"] {
  return new Proxy(store, {
    get(target, property) {
      if (property === "failure") return new Error("lost");
      return Reflect.get(target, property, target);
    },
  });
}

Deno.test("/livez and /readyz answer as Kubernetes prints them", async () => {
  await using api = await testApi();
  assertEquals(await (await api.app.request("/livez")).text(), "ok");
  assertEquals(
    await (await api.app.request("/livez?verbose")).text(),
    "[+]ping ok\nlivez check passed\n",
  );
  api.chain.status = { ...api.chain.status, state: "unreachable", detail: "connection refused" };
  const verbose = await api.app.request("/readyz?verbose");
  assertEquals(verbose.status, 200);
  assertEquals(
    await verbose.text(),
    "[+]ping ok\n[+]store ok\n[!]sui-events unreachable: connection refused\n[+]admission ok\n[+]shutdown ok\nreadyz check passed\n",
  );
  assertEquals(await (await api.app.request("/readyz/store")).text(), "ok");
  assertMatch(
    await (await api.app.request("/readyz?verbose&exclude=sui-events")).text(),
    /\[\+\]sui-events excluded: ok/,
  );
  await problem(await api.app.request("/readyz/nope"), 404, "no_such_check");
});

Deno.test("/readyz says no while the master stops, /livez does not", async () => {
  await using api = await testApi({ deps: { stopping: () => true } });
  const ready = await api.app.request("/readyz");
  assertEquals(ready.status, 503);
  assertMatch(await ready.text(), /\[-\]shutdown failed/);
  assertEquals((await api.app.request("/livez")).status, 200);
});

Deno.test("/version reads as a Kubernetes version", async () => {
  await using api = await testApi();
  const version = await (await api.app.request("/version")).json();
  assertMatch(version.gitVersion, /^v1\.\d+\.\d+\+nautilus\.0\.0\.0-test$/);
  assertEquals(version.major, "1");
});

Deno.test("/api/v1/attestation decodes the nonce and passes it on", async () => {
  const nonces: (string | undefined)[] = [];
  await using api = await testApi({
    attestor: {
      enclaveId: "x",
      attestation(nonce) {
        nonces.push(nonce?.toHex());
        return Promise.resolve({
          enclave_id: "x",
          tee_type: "SIMULATION",
          security_level: 1,
          covers: "none",
          measurement: "00",
          timestamp: 1,
          certificate: "",
          signed: "",
          signature: "",
          evidence: { media_type: "m", data: "", endorsements: [] },
        });
      },
    },
  });
  const path = "/api/v1/attestation";
  assertEquals((await api.app.request(path)).status, 200);
  assertEquals((await api.app.request(`${path}?nonce=${"Ab".repeat(8)}`)).status, 200);
  assertEquals((await api.app.request(`${path}?nonce=${"ff".repeat(64)}`)).status, 200);
  assertEquals(nonces, [undefined, "ab".repeat(8), "ff".repeat(64)]);
  for (
    const bad of [
      "",
      "ab",
      "ab".repeat(7),
      "ab".repeat(65),
      `${"ab".repeat(8)}a`,
      "zz".repeat(8),
      "0x" + "ab".repeat(8),
    ]
  ) {
    const document = await problem(
      await api.app.request(`${path}?nonce=${bad}`),
      400,
      "invalid_nonce",
    );
    assertEquals(document.field, "nonce");
  }
  await problem(
    await api.app.request(`${path}?nonce=${"ab".repeat(8)}&nonce=${"cd".repeat(8)}`),
    400,
    "invalid_nonce",
  );
});

Deno.test("/api/v1/attestation is 429 with Retry-After beyond its budget", async () => {
  await using api = await testApi({
    attestor: {
      enclaveId: "x",
      attestation: () =>
        Promise.reject(new BackendError("throttled", "the firmware asks for patience")),
    },
    deps: {
      limits: { ...DEFAULT_LIMITS, attestations: { perSecond: 0.5, burst: 2 }, watches: 1 },
    },
  });
  const throttled = await api.app.request("/api/v1/attestation");
  await problem(throttled, 429, "tee_throttled");
  await (await api.app.request("/api/v1/attestation")).body?.cancel();
  const beyond = await api.app.request("/api/v1/attestation");
  assertEquals(beyond.headers.get("retry-after"), "2");
  await problem(beyond, 429, "attestation_budget");
  api.time.now += 2_000;
  await problem(await api.app.request("/api/v1/attestation"), 429, "tee_throttled");
});

Deno.test("/api/v1/security-context claims nothing for a simulation", async () => {
  await using api = await testApi();
  assertEquals(await (await api.app.request("/api/v1/security-context")).json(), {
    secret_sealing: false,
    remote_attestation: false,
    memory_encryption: false,
    code_integrity: false,
    tee_vendor: "none (simulation)",
  });
});

Deno.test("/api/v1/security-context says what the backend covers", async () => {
  const tee = {
    kind: "SEV",
    securityLevel: 2,
    covers: "image",
    measurement: new Uint8Array(48),
    sealPolicies: ["measurement"],
    attests: true,
  } as const;
  await using api = await testApi({ deps: { tee } });
  assertEquals(await (await api.app.request("/api/v1/security-context")).json(), {
    secret_sealing: true,
    remote_attestation: true,
    memory_encryption: true,
    code_integrity: true,
    tee_vendor: "AMD",
  });
  await using helper = await testApi({
    deps: { tee: { ...tee, kind: "SGX", securityLevel: 3, covers: "helper" } },
  });
  assertObjectMatch(await (await helper.app.request("/api/v1/security-context")).json(), {
    memory_encryption: false,
    code_integrity: false,
    secret_sealing: true,
  });
});

Deno.test("/api/v1/sui-events only wakes the reader", async () => {
  await using api = await testApi();
  const digest = "4vJ9JU1bJJE96FWSJKvHsmmFADCg4gpZQff4P3bkLKi";
  const response = await api.post("/api/v1/sui-events", { digest });
  assertEquals(response.status, 202);
  assertEquals(await response.json(), { status: "accepted", digest });
  assertEquals(api.chain.wakes, 1);
  const cases: [unknown, string][] = [
    [{}, "missing_field"],
    [{ digest: 7 }, "invalid_field"],
    [{ digest: "0OIl" }, "invalid_field"],
    [{ digest, event: { type: "K8sAPIRequest" } }, "unknown_field"],
    ["[", "invalid_json"],
  ];
  for (const [body, code] of cases) {
    await problem(await api.post("/api/v1/sui-events", body), 400, code);
  }
  assertEquals(api.chain.wakes, 1);
});

Deno.test("POST endpoints refuse bodies strictly, naming the field", async () => {
  await using api = await testApi();
  const good = { node_id: "worker-1", seal_token: SEAL_TOKEN, timestamp: 1 };
  const cases: [unknown, string, string | undefined][] = [
    ["", "invalid_json", undefined],
    ["{", "invalid_json", undefined],
    ["[]", "invalid_field", undefined],
    ["null", "invalid_field", undefined],
    [{ ...good, node_id: 5 }, "invalid_field", "node_id"],
    [{ ...good, node_id: "No_Caps" }, "invalid_field", "node_id"],
    [{ ...good, node_id: "../../x" }, "invalid_field", "node_id"],
    [{ ...good, node_id: "a".repeat(254) }, "invalid_field", "node_id"],
    [{ ...good, timestamp: "1" }, "invalid_field", "timestamp"],
    [{ ...good, timestamp: -1 }, "invalid_field", "timestamp"],
    [{ ...good, timestamp: 1.5 }, "invalid_field", "timestamp"],
    [{ ...good, extra: 1 }, "unknown_field", "extra"],
    [{ node_id: "worker-1", timestamp: 1 }, "missing_field", "seal_token"],
    [`{"node_id":"a","node_id":"b","seal_token":"x","timestamp":1}`, "duplicate_field", "node_id"],
    [`{"node_id":"a","n\\u006fde_id":"b"}`, "duplicate_field", "node_id"],
    [`{"__proto__":{"x":1}}`, "unknown_field", "__proto__"],
    ["[".repeat(5000), "too_deep", undefined],
    [`\uFEFF{}`, "invalid_utf8", undefined],
  ];
  for (const [body, code, field] of cases) {
    const document = await problem(await api.post(REGISTER, body), 400, code);
    assertEquals(document.field, field === undefined && document.field === "" ? "" : field, code);
  }
  const invalidUtf8 = await api.app.request(REGISTER, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: Uint8Array.of(0x22, 0xff, 0x22),
  });
  await problem(invalidUtf8, 400, "invalid_utf8");
  await problem(await api.post(REGISTER, "x".repeat(20_000)), 413, "body_too_large");
  await problem(
    await api.post(REGISTER, good, { "Content-Type": "text/plain" }),
    415,
    "unsupported_media_type",
  );
});

Deno.test("a refused body never repeats the Seal token", async () => {
  await using api = await testApi();
  const token = `seal_0x${"5".repeat(64)}secret`;
  const response = await api.post(REGISTER, { node_id: "a", seal_token: [token], timestamp: 1 });
  assert(!(await response.text()).includes("secret"));
  const long = await api.post(REGISTER, {
    node_id: "a",
    seal_token: token.repeat(9),
    timestamp: 1,
  });
  const text = await long.text();
  assertEquals(long.status, 400);
  assert(!text.includes("secret"), text);
});

Deno.test("/api/v1/nodes/heartbeat needs its header and a whole body", async () => {
  await using api = await testApi();
  const beat = {
    node_id: "worker-1",
    timestamp: 1,
    stake_status: "active",
    stake_amount: 1,
    running_pods: 0,
    resource_usage: { cpu_percent: 0, memory_percent: 0, disk_percent: 0 },
  };
  await problem(await api.post(HEARTBEAT, beat), 401, "session_missing");
  const headers = { "X-Seal-Token": "nts_x" };
  await problem(await api.post(HEARTBEAT, beat, headers), 401, "session_unknown");
  const percent = { ...beat, resource_usage: { ...beat.resource_usage, cpu_percent: 101 } };
  const document = await problem(await api.post(HEARTBEAT, percent, headers), 400, "invalid_field");
  assertEquals(document.field, "resource_usage.cpu_percent");
});
