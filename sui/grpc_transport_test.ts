import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { guardedFetch } from "./grpc_transport.ts";

const HEADERS = { "content-type": "application/grpc-web+proto" };

/** What the client gets to read of a body that comes in these pieces. */
async function pieces(
  body: readonly Uint8Array<ArrayBuffer>[],
  maxBytes = 1_000_000,
): Promise<Uint8Array<ArrayBuffer>[]> {
  const serve = () =>
    Promise.resolve(new Response(ReadableStream.from(body), { headers: HEADERS }));
  const response = await guardedFetch(serve, maxBytes)("http://node");
  const read: Uint8Array<ArrayBuffer>[] = [];
  for await (const piece of response.body ?? []) read.push(piece);
  return read;
}

function frame(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(5 + data.length);
  new DataView(out.buffer).setUint32(1, data.length);
  out.set(data, 5);
  return out;
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

Deno.test("guardedFetch() hands on the same bytes in whole frames, however they come (property)", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 20 }),
    fc.uint8Array({ maxLength: 4 }),
    async (messages, cuts, rest) => {
      const frames = messages.map(frame);
      const whole = concat([...frames, rest]);
      const body: Uint8Array<ArrayBuffer>[] = [];
      for (let at = 0, i = 0; at < whole.length; i++) {
        const end = at + (cuts[i % cuts.length] ?? 1);
        body.push(whole.slice(at, end));
        at = end;
      }
      const read = await pieces(body);
      assertEquals(concat(read), whole);
      const ends = new Set(frames.map((_, i) => concat(frames.slice(0, i + 1)).length));
      let at = 0;
      for (const piece of rest.length > 0 ? read.slice(0, -1) : read) {
        at += piece.length;
        assertEquals(ends.has(at), true, `${at} is no end of a frame`);
      }
    },
  ));
});

Deno.test("guardedFetch() refuses a frame that claims too much at once, and a body that is too long", async () => {
  const claims = Uint8Array.of(0, 0x7f, 0xff, 0xff, 0xff);
  await assertRejects(() => pieces([claims]), RangeError, "too large: a frame");
  const small = frame(new Uint8Array(95));
  await assertRejects(
    () => pieces(Array(11).fill(small), 1_000),
    RangeError,
    "too large: more than",
  );
  assertEquals((await pieces(Array(10).fill(small), 1_000)).length, 10);
});

Deno.test("guardedFetch() lets through what only a gRPC-web server can have said", async () => {
  const answer = (response: Response) =>
    guardedFetch(() => Promise.resolve(response), 1_000)("http://node");
  for (
    const response of [
      new Response("no", { status: 404, headers: HEADERS }),
      new Response("<html>", { headers: { "content-type": "text/html" } }),
      new Response("{}"),
    ]
  ) await assertRejects(() => answer(response), Error, "expected 200 with application/grpc-web");
  assertEquals((await answer(new Response(null, { headers: { "grpc-status": "5" } }))).status, 200);
});

Deno.test("guardedFetch() ends an answer that stalls with the signal, whatever fetch does about it", async () => {
  const cancelled = Promise.withResolvers<unknown>();
  const body = new ReadableStream({ cancel: cancelled.resolve });
  const stalling = () => Promise.resolve(new Response(body, { headers: HEADERS }));
  const controller = new AbortController();
  const response = await guardedFetch(stalling, 1_000)("http://node", {
    signal: controller.signal,
  });
  const reading = assertRejects(() => response.arrayBuffer(), Error, "late");
  controller.abort(new Error("late"));
  await reading;
  await cancelled.promise;
});
