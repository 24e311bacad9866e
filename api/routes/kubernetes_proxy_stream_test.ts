/** Proxied answers at the real listener, which sends what is whole otherwise than what streams. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ADMIN_TOKEN, testApi } from "../../tests/fakes/api.ts";
import { DEFAULT_SERVER_LIMITS, listen } from "../server.ts";

const PODS = "/api/v1/namespaces/default/pods";

async function served(answer: () => Response) {
  const asked: Request[] = [];
  const api = await testApi({
    deps: {
      upstream: {
        origin: "https://kube.test:6443",
        fetch(request) {
          asked.push(request);
          return Promise.resolve(answer());
        },
      },
    },
  });
  const server = await listen(api.app, {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    limits: DEFAULT_SERVER_LIMITS,
    log: api.deps.log,
  });
  return {
    asked,
    server,
    get: (path: string, init: RequestInit = {}) =>
      fetch(`${server.url}${path}`, {
        ...init,
        headers: { Authorization: `Bearer ${ADMIN_TOKEN}`, ...init.headers },
        redirect: "manual",
      }),
    async [Symbol.asyncDispose]() {
      await server.close(1_000);
      await api[Symbol.asyncDispose]();
    },
  };
}

const json = { "Content-Type": "application/json" };

Deno.test("a proxied watch is sent line by line, its headers before the first", async () => {
  let send: ((text: string) => void) | undefined;
  const cancelled = Promise.withResolvers<void>();
  const body = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(controller) {
        send = (text) => controller.enqueue(new TextEncoder().encode(text));
      },
      cancel: () => cancelled.resolve(),
    });
  await using api = await served(() => new Response(body(), { headers: json }));
  const response = await api.get(`${PODS}?watch=1`);
  assertEquals(response.status, 200);
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert(reader !== undefined && send !== undefined);
  for (const line of ['{"type":"ADDED"}\n', '{"type":"DELETED"}\n']) {
    send(line);
    assertEquals((await reader.read()).value, line);
  }
  await reader.cancel();
  await cancelled.promise; // the watch behind ends with its reader
});

Deno.test("a proxied answer that breaks off behind breaks off here", async () => {
  const body = () =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => controller.enqueue(new TextEncoder().encode('{"items":[')),
      pull: (controller) => controller.error(new TypeError("connection reset")),
    });
  await using api = await served(() => new Response(body(), { headers: json }));
  await assertRejects(async () => await (await api.get(PODS)).text());
});

Deno.test("a listener that stops ends a proxied watch, and waits for the end of a list", async () => {
  const bodies: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>[] = [];
  const body = () => new ReadableStream({ start: (controller) => void bodies.push(controller) });
  await using api = await served(() => new Response(body(), { headers: json }));
  const texts = [];
  for (const path of [`${PODS}?watch=1`, PODS]) {
    texts.push((await api.get(path)).text()); // their headers are here, and they are under way
  }
  for (const part of bodies) part.enqueue(new TextEncoder().encode('{"items":['));
  const [watch, list] = texts;
  const closed = api.server.close(30_000);
  await watch;
  bodies[1]?.enqueue(new TextEncoder().encode("]}"));
  bodies[1]?.close();
  assertEquals(await list, '{"items":[]}');
  await closed;
});

Deno.test("proxied answers without a body, and to HEAD, end with their headers", async () => {
  const status = { now: 204 };
  await using api = await served(() =>
    new Response(status.now === 204 ? null : "{}", { status: status.now, headers: json })
  );
  assertEquals((await api.get(PODS)).status, 204);
  status.now = 200;
  const head = await api.get(PODS, { method: "HEAD" });
  assertEquals([head.status, await head.text()], [200, ""]);
  assertEquals(await (await api.get(PODS)).text(), "{}");
});

Deno.test("a redirect is passed on where it names the same resource, by another query", async () => {
  const location = { now: "" };
  await using api = await served(() =>
    new Response(null, { status: 301, headers: { Location: location.now } })
  );
  const path = "/openapi/v3/apis/apps/v1";
  location.now = `${path}?hash=NEW`;
  const passed = await api.get(`${path}?hash=OLD`);
  assertEquals([passed.status, passed.headers.get("location")], [301, location.now]);
  await passed.body?.cancel();
  for (
    const elsewhere of [
      "https://elsewhere.test/openapi/v3/apis/apps/v1",
      "//elsewhere.test/openapi/v3/apis/apps/v1",
      "/openapi/v3/apis/batch/v1",
      "",
    ]
  ) {
    location.now = elsewhere;
    const refused = await api.get(path);
    assertEquals([refused.status, refused.headers.get("location")], [502, null], elsewhere);
    await refused.body?.cancel();
  }
});

Deno.test("/version is the kube-apiserver's for whoever is known, and ours for anybody else", async () => {
  await using api = await served(() => Response.json({ gitVersion: "v1.31.4" }));
  assertEquals((await (await api.get("/version")).json()).gitVersion, "v1.31.4");
  assertEquals(api.asked.map(({ url }) => url), ["https://kube.test:6443/version"]);
  const anonymous = await api.get("/version", { headers: { Authorization: "" } });
  assertMatch((await anonymous.json()).gitVersion, /nautilus/);
  assertEquals(api.asked.length, 1);
});
