import { assert, assertEquals, assertThrows } from "@std/assert";
import { Hono } from "@hono/hono";
import { getLogger } from "@logtape/logtape";
import type { Bytes } from "../backends/mod.ts";
import { type ChunkSource, readableOf, StreamChunk } from "./chunk_stream.ts";
import type { ApiContext, ApiEnv } from "./http.ts";
import { type ApiServer, DEFAULT_SERVER_LIMITS, listen } from "./server.ts";

const encoder = new TextEncoder();

function bytes(text: string): Bytes {
  return encoder.encode(text);
}

/** Gives these, then waits for its end or is at it. */
class ListSource implements ChunkSource {
  readonly closed = Promise.withResolvers<void>();
  taken = 0;
  isClosed = false;
  readonly #chunks: readonly StreamChunk[];
  readonly #stays: boolean;

  constructor(chunks: readonly StreamChunk[], stays = false) {
    this.#chunks = chunks;
    this.#stays = stays;
  }

  async next(): Promise<StreamChunk | undefined> {
    if (this.isClosed) return undefined;
    const chunk = this.#chunks[this.taken];
    if (chunk !== undefined) {
      this.taken++;
      return chunk;
    }
    if (this.#stays) await this.closed.promise;
    return undefined;
  }

  attach(): void {}

  close(): void {
    this.isClosed = true;
    this.closed.resolve();
  }
}

function send(c: ApiContext, source: ChunkSource): Response {
  c.env.connection?.stream?.(source);
  return c.body(null, 200, { "Content-Type": "text/plain", "Transfer-Encoding": "chunked" });
}

async function withApp(
  build: (app: Hono<ApiEnv>) => void,
  run: (server: ApiServer) => Promise<void>,
  writeTimeoutMs = DEFAULT_SERVER_LIMITS.writeTimeoutMs,
): Promise<void> {
  const app = new Hono<ApiEnv>();
  build(app);
  const server = await listen(app, {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    limits: { ...DEFAULT_SERVER_LIMITS, writeTimeoutMs },
    log: getLogger(["test"]),
  });
  try {
    await run(server);
  } finally {
    await server.close(500);
  }
}

async function readUntil(connection: Deno.Conn, end?: RegExp): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4096);
  let out = "";
  for (;;) {
    const n = await connection.read(buffer);
    if (n === null) return out;
    out += decoder.decode(buffer.subarray(0, n), { stream: true });
    if (end?.test(out)) return out;
  }
}

const HELLO = [
  new StreamChunk([bytes("hello "), bytes("wide ")]),
  new StreamChunk([bytes("world")]),
];

Deno.test("StreamChunk frames its parts as one chunk, and gives them back without the frame", () => {
  const chunk = new StreamChunk([bytes("abcdefgh"), bytes(""), bytes("ijklmnopq")]);
  assertEquals(new TextDecoder().decode(chunk.framed), "11\r\nabcdefghijklmnopq\r\n");
  assertEquals(new TextDecoder().decode(chunk.payload), "abcdefghijklmnopq");
  assertThrows(() => new StreamChunk([bytes("")]), RangeError);
});

Deno.test("readableOf() gives the payloads; cancelling closes the source", async () => {
  assertEquals(await new Response(readableOf(new ListSource(HELLO))).text(), "hello wide world");
  const source = new ListSource([], true);
  await readableOf(source).cancel();
  await source.closed.promise;
});

Deno.test("Connection.stream() sends the same chunks to every client", async () => {
  await withApp((app) => {
    app.get("/", (c) => send(c, new ListSource(HELLO)));
  }, async (server) => {
    for (let i = 0; i < 3; i++) {
      const response = await fetch(server.url);
      assertEquals(response.headers.get("transfer-encoding"), "chunked");
      assertEquals(await response.text(), "hello wide world");
    }
  });
});

Deno.test("Connection.stream() frames nothing for a client of HTTP/1.0", async () => {
  await withApp((app) => {
    app.get("/", (c) => send(c, new ListSource(HELLO)));
  }, async (server) => {
    using connection = await Deno.connect({ hostname: server.host, port: server.port });
    await connection.write(bytes("GET / HTTP/1.0\r\nHost: a\r\n\r\n"));
    const answer = await readUntil(connection);
    assert(answer.endsWith("\r\n\r\nhello wide world"), answer);
  });
});

Deno.test("Connection.stream() waits for its turn behind another answer on the connection", async () => {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  await withApp((app) => {
    app.get("/first", async (c) => {
      await first.promise;
      return c.text("first");
    });
    app.get("/second", (c) => {
      second.resolve();
      return send(c, new ListSource(HELLO));
    });
  }, async (server) => {
    using connection = await Deno.connect({ hostname: server.host, port: server.port });
    const head = "HTTP/1.1\r\nHost: a\r\n\r\n";
    await connection.write(bytes(`GET /first ${head}GET /second ${head}`));
    await second.promise;
    first.resolve();
    const answer = await readUntil(connection, /\r\n0\r\n\r\n$/);
    const [, one, two] = answer.split("HTTP/1.1 200 OK\r\n");
    assert(one?.endsWith("\r\n\r\nfirst"), answer);
    assert(two?.endsWith("\r\n\r\nb\r\nhello wide \r\n5\r\nworld\r\n0\r\n\r\n"), answer);
  });
});

Deno.test("a client that leaves, and a server that closes, end the source", async () => {
  const left = new ListSource(HELLO, true);
  const stays = new ListSource(HELLO, true);
  let body: Promise<string> | undefined;
  await withApp((app) => {
    app.get("/left", (c) => send(c, left));
    app.get("/stays", (c) => send(c, stays));
  }, async (server) => {
    const connection = await Deno.connect({ hostname: server.host, port: server.port });
    await connection.write(bytes("GET /left HTTP/1.1\r\nHost: a\r\n\r\n"));
    await readUntil(connection, /world/);
    connection.close();
    await left.closed.promise;
    body = (await fetch(`${server.url}/stays`)).text();
  });
  await stays.closed.promise;
  assertEquals(await body, "hello wide world");
});

Deno.test("a source whose answer became another one is closed", async () => {
  const source = new ListSource(HELLO, true);
  await withApp((app) => {
    app.get("/", (c) => {
      send(c, source);
      return c.text("no", 403);
    });
  }, async (server) => {
    const response = await fetch(server.url);
    assertEquals([response.status, await response.text()], [403, "no"]);
    await source.closed.promise;
    assertEquals(source.taken, 0);
  });
});

Deno.test("nothing more is taken from the source for a client that does not read, until it is let go", async () => {
  const large = new StreamChunk([new Uint8Array(1024 * 1024)]);
  const source = new ListSource(new Array(512).fill(large));
  await withApp((app) => {
    app.get("/", (c) => send(c, source));
  }, async (server) => {
    using connection = await Deno.connect({ hostname: server.host, port: server.port });
    await connection.write(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    await source.closed.promise;
    assert(source.taken < 512, `${source.taken} MiB wait for one client`);
  }, 50);
});
