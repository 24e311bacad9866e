import { assertEquals } from "@std/assert";
import { connect } from "node:net";
import { ADMIN_TOKEN, testApi } from "../tests/fakes/api.ts";
import { DEFAULT_LIMITS } from "./deps.ts";
import type { Connection } from "./http.ts";
import { DEFAULT_SERVER_LIMITS, listen } from "./server.ts";

const TWO = { limits: { ...DEFAULT_LIMITS, refusals: { perSecond: 1, burst: 2 } } };

Deno.test("refusals beyond the address's budget are held, and only those", async () => {
  await using api = await testApi({ deps: TWO });
  let held = 0;
  const ask = async (path: string, address: string, headers: Record<string, string> = {}) => {
    const connection: Connection = {
      remoteAddress: address,
      encrypted: false,
      disconnected: () => new AbortController().signal,
      hold: () => void held++,
    };
    const response = await api.app.request(path, { headers }, { connection });
    await response.body?.cancel();
    return response.status;
  };
  const admin = { Authorization: `Bearer ${ADMIN_TOKEN}` };
  assertEquals(await ask("/nothing", "10.0.0.1"), 404);
  assertEquals(await ask("/api/v1/pods", "10.0.0.1"), 401);
  assertEquals(held, 0);
  assertEquals(await ask("/nothing", "10.0.0.1"), 404);
  assertEquals(held, 1);
  assertEquals(await ask("/api/v1/pods", "10.0.0.1"), 401);
  assertEquals(held, 2);
  // Good answers, objects that are not there for somebody who may ask, and other addresses.
  assertEquals(await ask("/health", "10.0.0.1"), 200);
  assertEquals(await ask("/api/v1/namespaces/default/pods/none", "10.0.0.1", admin), 404);
  assertEquals(await ask("/nothing", "10.0.0.2"), 404);
  assertEquals(held, 2);
  api.time.now += 1_000;
  assertEquals(await ask("/nothing", "10.0.0.1"), 404);
  assertEquals(held, 2);
});

/** Sends requests one after the other, and reads until the master ends the connection. */
function conversation(port: number, requests: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = "";
  const socket = connect(port, "127.0.0.1", () => {
    socket.write("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".repeat(requests));
  });
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => received += chunk);
  socket.on("error", () => {}); // a cut is an end as well
  socket.on("close", () => resolve(received));
  socket.on("end", () => socket.end());
  return promise;
}

async function serving(limits: { holdMs: number; maxHeld: number }) {
  const api = await testApi({ deps: TWO });
  const server = await listen(api.app, {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    limits: { ...DEFAULT_SERVER_LIMITS, ...limits },
    log: api.deps.log,
  });
  return {
    port: server.port,
    async [Symbol.asyncDispose]() {
      await server.close(100);
      await api[Symbol.asyncDispose]();
    },
  };
}

Deno.test("a held answer ends its connection, and what was sent behind it", async () => {
  await using server = await serving({ holdMs: 1, maxHeld: 10 });
  const received = await conversation(server.port, 6);
  assertEquals(received.match(/HTTP\/1\.1 404/g)?.length, 3);
  assertEquals(received.match(/connection: close/gi)?.length, 1);
});

Deno.test("where no more answers may wait, the connection is cut", async () => {
  await using server = await serving({ holdMs: 1, maxHeld: 0 });
  const received = await conversation(server.port, 3);
  assertEquals(received.match(/HTTP\/1\.1 404/g)?.length, 2);
});

Deno.test("a client that goes away is not waited for", async () => {
  // An hour: the test ends only because nobody waits.
  await using server = await serving({ holdMs: 3_600_000, maxHeld: 10 });
  const gone = Promise.withResolvers<void>();
  let answers = "";
  const socket = connect(server.port, "127.0.0.1", () => {
    socket.write("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n".repeat(3));
  });
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    answers += chunk;
    if (answers.match(/HTTP\/1\.1 404/g)?.length === 2) socket.destroy();
  });
  socket.on("close", gone.resolve);
  await gone.promise;
});
