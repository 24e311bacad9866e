import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { FrameOutput } from "./frame_output.ts";
import { FrameParser, unpad } from "./frame_parser.ts";
import { ConnectionError, ERROR, FLAG, FRAME, PREFACE } from "./frames.ts";
import { HeaderBlocks } from "./header_blocks.ts";
import { DEFAULT_LIMITS } from "./limits.ts";
import { decodeSettings, encodeSettings } from "./settings.ts";

interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: string;
}

const frames = fc.array(fc.record({
  type: fc.nat(12),
  flags: fc.nat(255),
  id: fc.nat(2 ** 31 - 1),
  payload: fc.uint8Array({ maxLength: 9000 }),
}));

function concat(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Everything the parser found in the bytes, cut into chunks of that size. */
function parse(bytes: Uint8Array, chunkBytes: number): Frame[] {
  const found: Frame[] = [];
  const parser = new FrameParser((type, flags, id, payload) => {
    found.push({ type, flags, id, payload: payload.toHex() });
    return true;
  });
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    parser.push(bytes.subarray(at, at + chunkBytes));
  }
  return found;
}

Deno.test("FrameParser.push() finds what FrameOutput wrote, however it was flushed and cut", async () => {
  const flushes = fc.array(fc.boolean());
  await fc.assert(
    fc.asyncProperty(
      frames,
      flushes,
      fc.integer({ min: 1, max: 20_000 }),
      async (sent, ends, n) => {
        const written: Uint8Array[] = [new TextEncoder().encode(PREFACE)];
        const output = new FrameOutput((bytes) => written.push(bytes));
        for (const [i, { type, flags, id, payload }] of sent.entries()) {
          output.append(type, flags, id, payload);
          if (ends[i] === true) output.flush();
        }
        await Promise.resolve();
        const expected = sent.map((frame) => ({ ...frame, payload: frame.payload.toHex() }));
        assertEquals(parse(concat(written), n), expected);
      },
    ),
    { numRuns: 50 },
  );
});

Deno.test("FrameParser.push() refuses another preface and a frame above 16 KiB", () => {
  assertThrows(() => parse(new TextEncoder().encode("GET / HTTP/1.1\r\n"), 3), ConnectionError);
  const large = new Uint8Array(PREFACE.length + 9);
  large.set(new TextEncoder().encode(PREFACE));
  large.set([0, 0x40, 1], PREFACE.length);
  const error = assertThrows(() => parse(large, 1000), ConnectionError);
  assertEquals(error.code, ERROR.frameSize);
});

Deno.test("unpad() takes the padding off and refuses more than there is", () => {
  const payload = Uint8Array.of(2, 7, 8, 0, 0);
  assertEquals(unpad(FLAG.padded, payload), Uint8Array.of(7, 8));
  assertEquals(unpad(0, payload), payload);
  assertThrows(() => unpad(FLAG.padded, Uint8Array.of(1)), ConnectionError);
  assertThrows(() => unpad(FLAG.padded, new Uint8Array(0)), ConnectionError);
});

Deno.test("HeaderBlocks puts a block together and lets nothing in between", () => {
  const blocks = new HeaderBlocks();
  assertEquals(blocks.headers(FLAG.endStream, 5, Uint8Array.of(1, 2)), undefined);
  assertThrows(() => blocks.check(FRAME.data, 5), ConnectionError);
  assertThrows(() => blocks.check(FRAME.continuation, 7), ConnectionError);
  blocks.check(FRAME.continuation, 5);
  assertEquals(blocks.continuation(0, Uint8Array.of(3)), undefined);
  const whole = { id: 5, endStream: true, block: Uint8Array.of(1, 2, 3, 4) };
  assertEquals(blocks.continuation(FLAG.endHeaders, Uint8Array.of(4)), whole);
  blocks.check(FRAME.data, 5);
  assertThrows(() => blocks.continuation(FLAG.endHeaders, Uint8Array.of(4)), ConnectionError);
});

Deno.test("HeaderBlocks refuses a block without end", () => {
  const blocks = new HeaderBlocks();
  blocks.headers(0, 1, new Uint8Array(0));
  const error = assertThrows(() => {
    for (let i = 0; i < 100; i++) blocks.continuation(0, new Uint8Array(0));
  }, ConnectionError);
  assertEquals(error.code, ERROR.enhanceYourCalm);
});

Deno.test("decodeSettings() gives what a server follows and refuses what is out of range", () => {
  assertEquals(decodeSettings(encodeSettings(DEFAULT_LIMITS)), [
    { name: "initialWindowSize", value: DEFAULT_LIMITS.streamWindowBytes },
  ]);
  assertEquals(decodeSettings(Uint8Array.of(0, 5, 0, 0, 0x80, 0)), [
    { name: "maxFrameSize", value: 0x8000 },
  ]);
  const refused: [number[], number][] = [
    [[0, 5, 0, 0, 0, 1], ERROR.protocol],
    [[0, 2, 0, 0, 0, 2], ERROR.protocol],
    [[0, 4, 0x80, 0, 0, 0], ERROR.flowControl],
    [[0, 4, 0], ERROR.frameSize],
  ];
  for (const [bytes, code] of refused) {
    const error = assertThrows(() => decodeSettings(Uint8Array.from(bytes)), ConnectionError);
    assertEquals(error.code, code);
  }
});
