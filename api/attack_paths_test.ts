/** Paths that are written otherwise than they are meant: none opens a door, none brings the server to fail. */
import { assert, assertEquals } from "@std/assert";
import { ADMIN_TOKEN, type TestApi, testApi } from "../tests/fakes/api.ts";
import { ApiProblem } from "./problem.ts";
import { DEFAULT_SERVER_LIMITS, listen } from "./server.ts";

const KUBERNETES: readonly string[] = [
  "/api",
  "/api/v1",
  "/apis/apps/v1",
  "/api/v1/namespaces",
  "/api/v1/namespaces/default/secrets",
  "/api/v1/namespaces/default/secrets/x",
  "/apis/apps/v1/namespaces/default/deployments/d/status",
  "/apis/apps/v1/namespaces/default/deployments/d/scale",
  "/openapi/v3",
  "/openapi/v3/api/v1",
];

/** Every path of our own and of Kubernetes', with a name where one stands. */
async function paths(api: TestApi): Promise<readonly string[]> {
  const { paths } = await (await api.app.request("/openapi.json")).json();
  const own = Object.keys(paths).filter((path) => path !== "/status/events");
  assert(own.length > 20, "the document has lost its endpoints");
  return [...own.map((path) => path.replaceAll(/\{\w+\}/g, "x")), ...KUBERNETES];
}

/** As they stand in a request line. */
function disguises(path: string): readonly string[] {
  const rest = path.slice(1);
  const encoded = rest === "" ? "%2e" : `%${rest.charCodeAt(0).toString(16)}${rest.slice(1)}`;
  return [
    `/${path}`,
    `//${path}`,
    `${path}/`,
    `${path}//`,
    `${path}/.`,
    `${path}/..`,
    `/./${rest}`,
    `/../${rest}`,
    `/health/..${path}`,
    `/livez/%2e%2e${path}`,
    `/health/..;${path}`,
    `/${encoded}`,
    path.replaceAll("/", "%2f"),
    path.replaceAll("/", "%252f"),
    path.replaceAll("/", "\\"),
    `${path}%00`,
    `${path}%20`,
    `${path}%0d%0aX-Injected:%20yes`,
    `${path};v=1`,
    `${path}.json`,
    `${path}?access_token=${ADMIN_TOKEN}`,
    `${path}?token=${ADMIN_TOKEN}&authorization=Bearer%20${ADMIN_TOKEN}`,
    `${path}#x`,
    path.toUpperCase(),
    `${path}/${"a/".repeat(500)}`,
    `${path}%c0%ae%c0%ae`,
    `${path}%E0%A4`,
  ];
}

/** In the name of a secret: whoever reads it reads what is closed. */
const MARKER = "marker-7f3a91";

interface Raw {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** One request on a connection of its own, byte for byte. */
async function raw(port: number, request: string): Promise<Raw> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(request));
  const chunks: Uint8Array[] = [];
  for (;;) {
    const buffer = new Uint8Array(65_536);
    const length = await connection.read(buffer);
    if (length === null) break;
    chunks.push(buffer.subarray(0, length));
  }
  const text = new TextDecoder().decode(await new Blob(chunks.map((c) => c.slice())).arrayBuffer());
  const end = text.indexOf("\r\n\r\n");
  return {
    status: Number(text.slice(9, 12)),
    head: text.slice(0, end),
    body: text.slice(end + 4),
  };
}

Deno.test("no disguise of a path opens what is closed, at any endpoint", async () => {
  await using api = await testApi({
    attestor: {
      enclaveId: "00".repeat(16),
      attestation: () => Promise.reject(new ApiProblem(429, "throttled", "not here")),
    },
  });
  const server = await listen(api.app, {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    limits: { ...DEFAULT_SERVER_LIMITS, holdMs: 0 },
    log: api.deps.log,
  });
  const made = await api.admin("POST", "/api/v1/namespaces/default/secrets", {
    metadata: { name: MARKER },
  });
  assertEquals(made.status, 201);
  await made.body?.cancel();
  const get = (target: string, token?: string) =>
    raw(
      server.port,
      `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${
        token === undefined ? "" : `Authorization: Bearer ${token}\r\n`
      }\r\n`,
    );
  try {
    const all = await paths(api);
    const open: string[] = [];
    for (const path of all) if ((await get(path)).status === 200) open.push(path);
    // What anybody may read below /api, and nothing more. (There is no attestation in this test.)
    assertEquals(open.filter((path) => path.startsWith("/api")), ["/api/v1/security-context"]);
    // The test could tell: by its own name, and with the token, the secret is there.
    const listed = await get("/api/v1/namespaces/default/secrets", ADMIN_TOKEN);
    assert(listed.body.includes(MARKER));
    for (const path of all) {
      for (const target of disguises(path)) {
        const answer = await get(target);
        assert(answer.status < 500 || answer.status === 503, `GET ${target}: ${answer.status}`);
        assert(!/^x-injected/im.test(answer.head), target);
        // Then it is something that is open by its own name.
        const tells = answer.body.includes(MARKER) ||
          /^\{"(kind|records|results)"/.test(answer.body);
        assert(answer.status !== 200 || !tells, `GET ${target} is open`);
      }
    }
  } finally {
    await server.close(500);
  }
});
