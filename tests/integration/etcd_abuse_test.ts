/** What a hostile or broken client can do to the etcd listener: it is told so, nobody else notices. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { PutRequest, PutResponse, RangeRequest, RangeResponse } from "../../api/etcd/messages.ts";
import { WatchCreateRequest, WatchRequest, WatchResponse } from "../../api/etcd/messages.ts";
import { ERROR, readU32, writeU32 } from "../../api/etcd/http2/frames.ts";
import { HpackDecoder } from "../../api/etcd/http2/hpack.ts";
import { type OwnEtcd, startOwnEtcd } from "../etcd/own.ts";
import { type Frame, RawConnection } from "../etcd/raw.ts";

const RANGE = "/etcdserverpb.KV/Range";
const PUT = "/etcdserverpb.KV/Put";
const WATCH = "/etcdserverpb.Watch/Watch";
const utf8 = (text: string) => new TextEncoder().encode(text);

/** Somebody else is still served. */
async function serves(own: OwnEtcd): Promise<void> {
  const client = await own.connect();
  const answer = await client.call(RANGE, RangeRequest, RangeResponse, { key: utf8("k") });
  assert(answer.ok);
  await client.close();
}

function u32(value: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(4);
  writeU32(out, 0, value);
  return out;
}

/** The gRPC status in the frames of one stream. */
async function status(raw: RawConnection, id: number): Promise<{ code: string; message: string }> {
  await raw.expect((f) => f.id === id && f.type === 1 && (f.flags & 1) !== 0);
  const fields = new Map<string, string>();
  const decoder = new HpackDecoder(4096, 1 << 20);
  for (const f of raw.frames) {
    if (f.id === id && f.type === 1) decoder.decode(f.payload, (n, v) => fields.set(n, v));
  }
  const message = decodeURIComponent(fields.get("grpc-message") ?? "");
  return { code: fields.get("grpc-status") ?? "", message };
}

const BROKEN: readonly [name: string, code: number, say: (raw: RawConnection) => void][] = [
  ["a header block that is not HPACK", ERROR.compression, (raw) => {
    raw.frame(1, 0x5, 1, Uint8Array.of(0x80));
  }],
  ["a frame of 16385 bytes", ERROR.frameSize, (raw) => {
    raw.frame(0, 0, 1, new Uint8Array(16_385));
  }],
  ["HEADERS on an even stream", ERROR.protocol, (raw) => raw.call(2, RANGE)],
  ["HEADERS on stream 0", ERROR.protocol, (raw) => raw.call(0, RANGE)],
  ["DATA on an idle stream", ERROR.protocol, (raw) => raw.frame(0, 0, 5, new Uint8Array(1))],
  ["DATA after the end of its stream", ERROR.streamClosed, (raw) => {
    raw.call(1, WATCH, [], true);
    raw.frame(0, 0, 1, new Uint8Array(1));
  }],
  ["RST_STREAM on an idle stream", ERROR.protocol, (raw) => raw.frame(3, 0, 9, u32(8))],
  ["a short RST_STREAM", ERROR.frameSize, (raw) => raw.frame(3, 0, 1, new Uint8Array(3))],
  ["SETTINGS of 5 bytes", ERROR.frameSize, (raw) => raw.frame(4, 0, 0, new Uint8Array(5))],
  ["SETTINGS on a stream", ERROR.protocol, (raw) => raw.frame(4, 0, 1)],
  ["an initial window above 2^31 - 1", ERROR.flowControl, (raw) => {
    raw.frame(4, 0, 0, Uint8Array.of(0, 4, 0x80, 0, 0, 0));
  }],
  ["a frame size setting below 16384", ERROR.protocol, (raw) => {
    raw.frame(4, 0, 0, Uint8Array.of(0, 5, 0, 0, 1, 0));
  }],
  ["PING of 7 bytes", ERROR.frameSize, (raw) => raw.frame(6, 0, 0, new Uint8Array(7))],
  ["WINDOW_UPDATE of 0", ERROR.protocol, (raw) => raw.frame(8, 0, 0, u32(0))],
  ["a connection window above 2^31 - 1", ERROR.flowControl, (raw) => {
    raw.frame(8, 0, 0, u32(0x7fff_ffff));
  }],
  ["PUSH_PROMISE", ERROR.protocol, (raw) => raw.frame(5, 0x4, 1, new Uint8Array(4))],
  ["a frame inside a header block", ERROR.protocol, (raw) => {
    raw.frame(1, 0, 1, new Uint8Array(0));
    raw.frame(6, 0, 0, new Uint8Array(8));
  }],
  ["CONTINUATION without end", ERROR.enhanceYourCalm, (raw) => {
    raw.frame(1, 0, 1, new Uint8Array(0));
    for (let i = 0; i < 100; i++) raw.frame(9, 0, 1, new Uint8Array(0));
  }],
  ["more padding than payload", ERROR.protocol, (raw) => {
    raw.call(1, WATCH);
    raw.frame(0, 0x8, 1, Uint8Array.of(9, 0));
  }],
];

for (const [name, code, say] of BROKEN) {
  Deno.test(`etcd listener ends a connection that sends ${name}`, async () => {
    await using own = await startOwnEtcd();
    const raw = await RawConnection.open(own.path);
    say(raw);
    assertEquals(await raw.goaway(), code);
    await raw.end();
    await serves(own);
  });
}

Deno.test("etcd listener closes what is neither HTTP/2 nor HTTP/1", async () => {
  await using own = await startOwnEtcd();
  const raw = await RawConnection.open(own.path, false);
  raw.write(utf8("PRI is not what I meant to say\r\n\r\n"));
  await raw.expect(({ type }) => type === 7);
  await raw.end();
  await serves(own);
});

Deno.test("etcd listener survives random bytes after the preface, whatever they are", async () => {
  await using own = await startOwnEtcd();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 400 }), async (bytes) => {
      const raw = await RawConnection.open(own.path);
      raw.write(bytes);
      await raw.end();
    }),
    { numRuns: 200 },
  );
  const frame = fc.tuple(
    fc.integer({ min: 0, max: 10 }),
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0, 1, 1, 3, 5, 2),
    fc.uint8Array({ maxLength: 40 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 20 }), async (frames) => {
      const raw = await RawConnection.open(own.path);
      for (const [type, flags, id, payload] of frames) raw.frame(type, flags, id, payload);
      await raw.end();
    }),
    { numRuns: 200 },
  );
  await serves(own);
  assertEquals(own.server.stats().calls, 0);
});

Deno.test("etcd calls that are wrong get the status that says so", async () => {
  await using own = await startOwnEtcd();
  const raw = await RawConnection.open(own.path);
  let id = -1;
  const answer = async (path: string, body: Uint8Array, fields: [string, string][] = []) => {
    id += 2;
    raw.call(id, path, fields);
    raw.frame(0, 0x1, id, body);
    return await status(raw, id);
  };
  const message = (...bytes: number[]) => Uint8Array.of(0, ...u32(bytes.length), ...bytes);

  assertEquals(await answer("/etcdserverpb.KV/Nope", message()), {
    code: "12",
    message: "unknown method Nope for service etcdserverpb.KV",
  });
  assertEquals(await answer("/nope/Nope", message()), {
    code: "12",
    message: "unknown service nope",
  });
  assertEquals(await answer(RANGE, message()), {
    code: "3",
    message: "etcdserver: key is not provided",
  });
  // Half a message; no message; two messages.
  assertEquals((await answer(RANGE, Uint8Array.of(0, 0, 0, 0, 9, 1))).code, "13");
  assertEquals((await answer(RANGE, new Uint8Array(0))).code, "13");
  assertEquals((await answer(RANGE, Uint8Array.of(...message(), ...message()))).code, "13");
  assertEquals((await answer(RANGE, Uint8Array.of(1, 0, 0, 0, 0))).code, "12");
  assertEquals((await answer(RANGE, message(), [["grpc-encoding", "gzip"]])).code, "12");
  assertEquals(await answer(RANGE, Uint8Array.of(0, ...u32(3_000_000))), {
    code: "8",
    message: "grpc: received message larger than max (3000000 vs. 2097152)",
  });
  // A field cut off, a wrong wire type, a field that does not exist.
  assertEquals((await answer(RANGE, message(0x0a, 9, 1))).code, "13");
  assertEquals((await answer(RANGE, message(0x08, 1))).code, "13");
  const unknown = await answer(RANGE, message(0x0a, 1, 0x61, 0xa0, 0x06, 1));
  assertEquals(unknown.code, "3");
  assertStringIncludes(unknown.message, "RangeRequest: field 100 is not supported");
  assertEquals((await answer(RANGE, message(), [["grpc-timeout", "soon"]])).code, "13");
  await raw.end();
  await serves(own);
});

Deno.test("etcd calls end at their deadline", async () => {
  await using own = await startOwnEtcd();
  const raw = await RawConnection.open(own.path);
  raw.call(1, WATCH, [["grpc-timeout", "20m"]]);
  assertEquals(await status(raw, 1), { code: "4", message: "context deadline exceeded" });
  await raw.end();
  assertEquals(own.server.stats().calls, 0);
});

Deno.test("etcd listener refuses streams above its limit and serves those below it", async () => {
  await using own = await startOwnEtcd({ http2: { maxConcurrentStreams: 100 } });
  const raw = await RawConnection.open(own.path);
  for (let i = 0; i < 5_000; i++) raw.call(1 + 2 * i, WATCH);
  const refused = await raw.expect(({ type, id }) => type === 3 && id === 201);
  assertEquals(readU32(refused.payload, 0), ERROR.refusedStream);
  await raw.expect(({ type, id }) => type === 3 && id === 1 + 2 * 4_999);
  assertEquals(own.server.stats().calls, 100);
  await raw.end();
  await serves(own);
  assertEquals(own.server.stats().calls, 0);
});

Deno.test("etcd listener sends away who opens streams only to reset them", async () => {
  await using own = await startOwnEtcd({ http2: { maxResets: 500 } });
  const raw = await RawConnection.open(own.path);
  for (let i = 0; i < 2_000; i++) {
    raw.call(1 + 2 * i, WATCH);
    raw.frame(3, 0, 1 + 2 * i, u32(8));
  }
  assertEquals(await raw.goaway(), ERROR.enhanceYourCalm);
  await raw.end();
  await serves(own);
});

Deno.test("etcd calls that are reset at any moment leave nothing behind", async () => {
  await using own = await startOwnEtcd();
  const body = PutRequest.encode(PutRequest.of({ key: utf8("k"), value: utf8("v") }));
  const framed = Uint8Array.of(0, ...u32(body.length), ...body);
  const raw = await RawConnection.open(own.path);
  let id = 1;
  for (let cut = 0; cut <= framed.length; cut++) {
    raw.call(id, PUT);
    raw.frame(0, cut === framed.length ? 1 : 0, id, framed.subarray(0, cut));
    raw.frame(3, 0, id, u32(8));
    id += 2;
  }
  raw.call(id, PUT);
  raw.frame(0, 1, id, framed);
  assertEquals(await status(raw, id), { code: "0", message: "" });
  assertEquals(own.server.stats().calls, 0);
  await raw.end();
});

Deno.test("a large request arrives through many frames and windows", async () => {
  await using own = await startOwnEtcd();
  const client = await own.connect();
  const value = new Uint8Array(1_400_000).fill(7);
  // Within the stream's first window only in part; the server must ask for the rest.
  const put = await client.call(PUT, PutRequest, PutResponse, { key: utf8("big"), value });
  assert(put.ok);
  const got = await client.call(RANGE, RangeRequest, RangeResponse, { key: utf8("big") });
  assert(got.ok);
  assertEquals(got.value.kvs[0]?.value.length, value.length);
  const tooLarge = await client.call(PUT, PutRequest, PutResponse, {
    key: utf8("big"),
    value: new Uint8Array(1_600_000),
  });
  assertEquals(tooLarge, {
    ok: false,
    code: 3,
    message: "etcdserver: request is too large",
  });
  await client.close();
});

Deno.test("a watcher that does not read costs a bounded queue, then gets every event in order", async () => {
  await using own = await startOwnEtcd({ limits: { watchBufferBytes: 65_536 } });
  const slow = await RawConnection.open(own.path);
  slow.call(1, WATCH);
  const create = WatchRequest.encode(WatchRequest.of({
    createRequest: WatchCreateRequest.of({ key: utf8("w"), rangeEnd: utf8("x") }),
  }));
  slow.frame(0, 0, 1, Uint8Array.of(0, ...u32(create.length), ...create));
  await slow.expect(({ type, id }) => type === 0 && id === 1);

  const writer = await own.connect();
  const fast = writer.stream(WATCH, WatchRequest, WatchResponse);
  fast.send(WatchRequest.decode(create));
  await fast.next();
  const value = new Uint8Array(10_000);
  const puts = 100;
  for (let i = 0; i < puts; i++) {
    const answer = await writer.call(PUT, PutRequest, PutResponse, { key: utf8(`w${i}`), value });
    assert(answer.ok);
    const event = await fast.next();
    assert(event.ok && event.value.events.length === 1);
  }
  // Only the first window (64 KiB) went to the slow one.
  const sent = () => dataOf(slow.frames).length;
  assert(sent() < 70_000, `${sent()} bytes went to a client that took none`);
  assertEquals(own.server.stats().watches, 1, "the slow watch is no longer on the hub");

  slow.frame(8, 0, 1, u32(1 << 30));
  slow.frame(8, 0, 0, u32(1 << 30));
  await slow.expect(() => dataOf(slow.frames).length >= puts * value.length);
  const last = `w${puts - 1}`;
  await slow.expect(() => eventKeys(dataOf(slow.frames)).at(-1) === last);
  const keys = eventKeys(dataOf(slow.frames));
  assertEquals(keys, Array.from({ length: puts }, (_, i) => `w${i}`));
  await slow.end();
  await writer.close();
});

function dataOf(frames: readonly Frame[]): Uint8Array {
  const data = frames.filter(({ type, id }) => type === 0 && id === 1);
  const out = new Uint8Array(data.reduce((sum, { payload }) => sum + payload.length, 0));
  let at = 0;
  for (const { payload } of data) {
    out.set(payload, at);
    at += payload.length;
  }
  return out;
}

function eventKeys(bytes: Uint8Array): string[] {
  const keys: string[] = [];
  let at = 0;
  while (bytes.length - at >= 5) {
    const end = at + 5 + readU32(bytes, at + 1);
    if (end > bytes.length) break;
    for (const { kv } of WatchResponse.decode(bytes.subarray(at + 5, end)).events) {
      keys.push(new TextDecoder().decode(kv?.key));
    }
    at = end;
  }
  return keys;
}
