import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { Hono } from "@hono/hono";
import { memoryStore } from "../tests/fakes/api.ts";
import type { ApiEnv } from "./http.ts";
import { readBody } from "./http.ts";
import { answerError } from "./middleware/errors.ts";
import { type ApiServer, DEFAULT_SERVER_LIMITS, listen, type ServerLimits } from "./server.ts";
import { openTlsIdentity } from "./tls/identity.ts";

const log = getLogger(["test"]);

async function withServer(
  limits: Partial<ServerLimits>,
  build: (app: Hono<ApiEnv>) => void,
  run: (server: ApiServer) => Promise<void>,
): Promise<void> {
  const app = new Hono<ApiEnv>();
  app.onError(answerError(log));
  app.use(async (c, next) => {
    c.set("requestId", "test");
    await next();
  });
  build(app);
  const server = await listen(app, {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    limits: { ...DEFAULT_SERVER_LIMITS, ...limits },
    log,
  });
  try {
    await run(server);
  } finally {
    await server.close(500);
  }
}

/** Sends bytes as they are and reads until the server closes, or until `until` stands in the answer. */
async function raw(server: ApiServer, text: string, until?: RegExp): Promise<string> {
  const connection = await Deno.connect({ hostname: server.host, port: server.port });
  try {
    await connection.write(new TextEncoder().encode(text));
    return await readAll(connection, until);
  } finally {
    connection.close();
  }
}

async function readAll(connection: Deno.Conn, until?: RegExp): Promise<string> {
  const decoder = new TextDecoder();
  let out = "";
  const buffer = new Uint8Array(65_536);
  for (;;) {
    const n = await connection.read(buffer).catch(() => null);
    if (n === null) return out;
    out += decoder.decode(buffer.subarray(0, n), { stream: true });
    if (until?.test(out)) return out;
  }
}

Deno.test("listen() serves on a free port and says which", async () => {
  await withServer({}, (app) => app.get("/x", (c) => c.text("hello")), async (server) => {
    assert(server.port > 0);
    const response = await fetch(`${server.url}/x`);
    assertEquals(response.status, 200);
    assertEquals(await response.text(), "hello");
    const head = await fetch(`${server.url}/x`, { method: "HEAD" });
    assertEquals(head.status, 200);
    assertEquals(await head.text(), "");
  });
});

Deno.test("listen() hands bodies over and keeps the connection", async () => {
  await withServer({}, (app) => {
    app.post("/echo", async (c) => c.body(await readBody(c, 1 << 20)));
  }, async (server) => {
    const body = crypto.getRandomValues(new Uint8Array(60_000));
    for (let i = 0; i < 3; i++) {
      const response = await fetch(`${server.url}/echo`, { method: "POST", body });
      assertEquals(await response.bytes(), body);
    }
    // Chunked, so without a declared length.
    const chunked = await raw(
      server,
      "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    assertMatch(chunked, /^HTTP\/1\.1 200 /);
    assert(chunked.endsWith("hello"), chunked);
  });
});

Deno.test("listen() answers 413 before a body is read and closes the connection", async () => {
  await withServer({}, (app) => {
    app.post("/echo", async (c) => c.body(await readBody(c, 1024)));
  }, async (server) => {
    const declared = await raw(
      server,
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    );
    assertMatch(declared, /^HTTP\/1\.1 413 /);
    assertMatch(declared, /"code":"body_too_large"/);
    const streamed = await raw(
      server,
      `POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n${
        "a".repeat(4096)
      }\r\n`,
    );
    assertMatch(streamed, /^HTTP\/1\.1 413 /);
    assertMatch(streamed, /connection: close/i);
  });
});

Deno.test("listen() answers 431 to a header that is too large", async () => {
  await withServer(
    { maxHeaderBytes: 4096 },
    (app) => app.get("/", (c) => c.text("x")),
    async (server) => {
      const answer = await raw(
        server,
        `GET / HTTP/1.1\r\nHost: x\r\nX-Big: ${"a".repeat(8000)}\r\n\r\n`,
      );
      assertMatch(answer, /^HTTP\/1\.1 431 /);
    },
  );
});

Deno.test("listen() answers 408 to a header that never ends", async () => {
  await withServer(
    { headersTimeoutMs: 300 },
    (app) => app.get("/", (c) => c.text("x")),
    async (server) => {
      const answer = await raw(server, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ");
      assertMatch(answer, /^HTTP\/1\.1 408 /);
    },
  );
});

Deno.test("listen() ends a TLS handshake that never ends", async () => {
  await using store = await memoryStore();
  const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
  const identity = await openTlsIdentity({ store, clock: Date.now, random, names: [] });
  const app = new Hono<ApiEnv>();
  const server = await listen(app, {
    host: "127.0.0.1",
    port: 0,
    tls: identity.issue().credentials,
    limits: { ...DEFAULT_SERVER_LIMITS, headersTimeoutMs: 300 },
    log,
  });
  try {
    // The beginning of a ClientHello, and nothing more: only the server can end it.
    assertEquals(await raw(server, "\x16\x03\x01\x02\x00\x01\x00"), "");
  } finally {
    await server.close(500);
  }
});

Deno.test("listen() answers 408 to a body that never ends", async () => {
  await withServer({ headersTimeoutMs: 200, requestTimeoutMs: 400 }, (app) => {
    app.post("/", async (c) => c.body(await readBody(c, 1024)));
  }, async (server) => {
    const answer = await raw(server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    assertMatch(answer, /^HTTP\/1\.1 (408|400) /);
  });
});

Deno.test("listen() refuses malformed requests and foreign request targets", async () => {
  await withServer({}, (app) => app.get("*", (c) => c.text(c.req.path)), async (server) => {
    for (
      const text of [
        "GARBAGE\r\n\r\n",
        "GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
      ]
    ) {
      assertMatch(await raw(server, text), /^HTTP\/1\.1 400 /, text);
    }
    // Two slashes name a path, never a host.
    const slashes = await raw(
      server,
      "GET //elsewhere/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    assert(slashes.endsWith("//elsewhere/x"), slashes);
  });
});

Deno.test("listen() leaks no stack and no cause of what fails inside", async () => {
  await withServer({}, (app) => {
    app.get("/boom", () => {
      throw new Error("the secret reason", { cause: new Error("deeper") });
    });
  }, async (server) => {
    const response = await fetch(`${server.url}/boom`);
    assertEquals(response.status, 500);
    const text = await response.text();
    assert(!/secret|deeper|\.ts/.test(text), text);
  });
});

Deno.test("listen() closes connections beyond the limit", async () => {
  await withServer(
    { maxConnections: 2 },
    (app) => app.get("/", (c) => c.text("x")),
    async (server) => {
      const open: Deno.Conn[] = [];
      try {
        for (let i = 0; i < 2; i++) {
          const connection = await Deno.connect({ hostname: server.host, port: server.port });
          open.push(connection);
          await connection.write(new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
          assertMatch(await readAll(connection, /x$/), /200/);
        }
        const third = await raw(server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assertEquals(third, "");
      } finally {
        for (const connection of open) connection.close();
      }
    },
  );
});

Deno.test("listen() streams, and tells the handler when the client goes away", async () => {
  const gone = Promise.withResolvers<void>();
  await withServer({}, (app) => {
    app.get("/stream", (c) => {
      const signal = c.env.connection?.disconnected();
      signal?.addEventListener("abort", () => gone.resolve());
      const stream = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode("first\n"));
        },
      });
      return c.body(stream, 200, { "Transfer-Encoding": "chunked" });
    });
  }, async (server) => {
    const controller = new AbortController();
    const response = await fetch(`${server.url}/stream`, { signal: controller.signal });
    const reader = response.body?.getReader();
    const first = await reader?.read();
    assertEquals(new TextDecoder().decode(first?.value), "first\n");
    controller.abort();
    await assertRejects(() => reader?.read() ?? Promise.resolve());
    await gone.promise;
  });
});

Deno.test("ApiServer.close() lets a request under way finish and refuses new ones", async () => {
  const started = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  await withServer({}, (app) => {
    app.get("/slow", async (c) => {
      started.resolve();
      await finish.promise;
      return c.text("done");
    });
  }, async (server) => {
    const answer = fetch(`${server.url}/slow`);
    await started.promise;
    const closed = server.close(5_000);
    await assertRejects(() =>
      Deno.connect({ hostname: server.host, port: server.port }).then((c) => c.close())
    );
    finish.resolve();
    assertEquals(await (await answer).text(), "done");
    assertEquals(await closed, { cut: 0 });
  });
});

Deno.test("ApiServer.close() ends streams as if they were complete", async () => {
  await withServer({}, (app) => {
    app.get("/never", (c) => {
      const stream = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode("so far")),
      });
      return c.body(stream, 200, { "Transfer-Encoding": "chunked" });
    });
  }, async (server) => {
    const response = await fetch(`${server.url}/never`);
    const closed = server.close(5_000);
    assertEquals(await response.text(), "so far");
    assertEquals(await closed, { cut: 0 });
  });
});

Deno.test("ApiServer.close() cuts what is left at the deadline", async () => {
  const started = Promise.withResolvers<void>();
  const finish = Promise.withResolvers<void>();
  await withServer({}, (app) => {
    app.get("/stuck", async (c) => {
      started.resolve();
      await finish.promise;
      return c.text("late");
    });
  }, async (server) => {
    const answer = fetch(`${server.url}/stuck`);
    const refused = assertRejects(() => answer);
    await started.promise;
    assertEquals(await server.close(50), { cut: 1 });
    await refused;
    finish.resolve();
  });
});

Deno.test("ApiServer.renewCertificate() without TLS is a mistake", async () => {
  await withServer({}, () => {}, (server) => {
    assertThrows(() => server.renewCertificate({ key: "", certificateChain: "" }), TypeError);
    return Promise.resolve();
  });
});
