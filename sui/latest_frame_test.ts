import { assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import { latestFrame } from "./latest_frame.ts";
import { LedgerProtocolError } from "./ledger.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const TRAILER = frame(0x80, new TextEncoder().encode("grpc-status:0\r\n"));

function frame(flag: number, data: Uint8Array): Bytes {
  const out = new Uint8Array(5 + data.length);
  out[0] = flag;
  new DataView(out.buffer).setUint32(1, data.length);
  out.set(data, 5);
  return out;
}

function concat(...parts: readonly Uint8Array[]): Bytes {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const message = (n: number) => frame(0, Uint8Array.of(8, n));

/** What comes out of these pieces, one after the other, and the pauses that were made. */
async function through(
  pieces: Iterable<Bytes>,
  sleep: (ms: number) => Promise<void> = () => Promise.resolve(),
): Promise<{ readonly out: Bytes[]; readonly pauses: number[] }> {
  const pauses: number[] = [];
  const out: Bytes[] = [];
  const stream = ReadableStream.from(pieces).pipeThrough(latestFrame({
    maxFrameBytes: 100,
    intervalMs: 50,
    sleep: (ms) => {
      pauses.push(ms);
      return sleep(ms);
    },
    signal: undefined,
  }));
  for await (const piece of stream) out.push(piece);
  return { out, pauses };
}

Deno.test("latestFrame() hands on the last of what came together, then waits", async () => {
  const { out, pauses } = await through([
    concat(...Array.from({ length: 200 }, (_, n) => message(n % 100)), message(101)),
    message(102),
    concat(message(103), message(104), TRAILER),
  ]);
  assertEquals(out, [message(101), message(102), message(104), TRAILER]);
  assertEquals(pauses, [50, 50]);
});

Deno.test("latestFrame() reads no more while it waits: a flood stays with its sender", async () => {
  let sent = 0;
  function* flood(): Generator<Bytes> {
    for (;;) {
      sent++;
      yield message(1);
    }
  }
  const paused = Promise.withResolvers<void>();
  const stop = new AbortController();
  const stream = ReadableStream.from(flood()).pipeThrough(
    latestFrame({
      maxFrameBytes: 100,
      intervalMs: 50,
      sleep: () => {
        paused.resolve();
        return new Promise((resolve) =>
          stop.signal.addEventListener("abort", () => resolve(), { once: true })
        );
      },
      signal: stop.signal,
    }),
    { signal: stop.signal },
  );
  const reader = stream.getReader();
  assertEquals((await reader.read()).value, message(1));
  await paused.promise;
  const ended = assertRejects(() => reader.read());
  // Everything runs that waits for nothing from outside.
  for (let i = 0; i < 1_000; i++) await Promise.resolve();
  assertEquals(sent <= 3, true, `${sent} messages were taken`);
  stop.abort();
  await ended;
});

Deno.test("latestFrame() puts frames together however they come (property)", async () => {
  await fc.assert(fc.asyncProperty(
    fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 8 }),
    fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 20 }),
    async (messages, cuts) => {
      const frames = messages.map((data) => frame(0, data));
      const whole = concat(...frames, TRAILER);
      const pieces: Bytes[] = [];
      for (let at = 0, i = 0; at < whole.length; i++) {
        const end = at + (cuts[i % cuts.length] ?? 1);
        pieces.push(whole.slice(at, end));
        at = end;
      }
      const { out } = await through(pieces);
      assertEquals(out.at(-1), TRAILER);
      assertEquals(out.at(-2), frames.at(-1));
      // In order, each at most once.
      let from = 0;
      for (const piece of out.slice(0, -1)) {
        const text = piece.toHex();
        const found = frames.findIndex((one, i) => i >= from && one.toHex() === text);
        assertEquals(found >= from, true, `${text} is none of the rest`);
        from = found + 1;
      }
    },
  ));
});

Deno.test("latestFrame() takes nothing behind the trailer, and leaves what is cut off to the client", async () => {
  const { out } = await through([message(1), concat(TRAILER, message(2)), message(3)]);
  assertEquals(out, [message(1), TRAILER]);
  const cut = await through([message(1), message(2).slice(0, 6)]);
  assertEquals(cut.out, [message(1), message(2).slice(0, 6)]);
});

Deno.test("latestFrame() refuses a frame that claims too much at once, and one of no known kind", async () => {
  const claims = Uint8Array.of(0, 0x7f, 0xff, 0xff, 0xff);
  await assertRejects(() => through([claims]), LedgerProtocolError, "a frame of 2147483652 bytes");
  await assertRejects(() => through([frame(0, new Uint8Array(96))]), LedgerProtocolError, "101");
  assertEquals((await through([frame(0, new Uint8Array(95))])).out.length, 1);
  await assertRejects(() => through([frame(1, new Uint8Array(2))]), LedgerProtocolError, "flag 1");
});
