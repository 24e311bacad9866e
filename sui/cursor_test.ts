import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { comparePositions, decodeCursor, encodeCursor } from "./cursor.ts";

const DIGEST = "11111111111111111111111111111111";

Deno.test("decodeCursor() reads what encodeCursor() wrote, whoever wrote it", () => {
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(fc.property(
    u64,
    fc.option(fc.tuple(fc.option(u64, { nil: undefined }), fc.nat({ max: 0xffff_ffff })), {
      nil: undefined,
    }),
    fc.option(fc.uint8Array({ minLength: 1, maxLength: 100 }), { nil: undefined }),
    (checkpoint, place, bytes) => {
      const position = {
        checkpoint,
        event: place === undefined
          ? undefined
          : { transactionIndex: place[0], eventIndex: place[1], transactionDigest: DIGEST },
        token: bytes === undefined ? undefined : Uint8Array.from(bytes),
      };
      assertEquals(decodeCursor(encodeCursor(position)), position);
    },
  ));
});

Deno.test("decodeCursor() reads cursors of version 1, which name no transaction", () => {
  const token = Uint8Array.of(1, 2);
  assertEquals(decodeCursor("v1:7:3:2:AQI"), {
    checkpoint: 7n,
    event: { transactionIndex: 3n, eventIndex: 2, transactionDigest: undefined },
    token,
  });
  assertEquals(decodeCursor("v1:7:-:-:AQI"), { checkpoint: 7n, event: undefined, token });
  const old = decodeCursor("v1:7:3:2:AQI");
  assertEquals(old === undefined ? "" : encodeCursor(old), "v1:7:3:2:AQI");
});

Deno.test("decodeCursor() refuses what is no cursor, and throws at nothing", () => {
  for (
    const bad of [
      "",
      "v1",
      "v3:1:-:-:AA",
      "v1:01:-:-:AA",
      "v1:1:-:2:AA",
      "v1:1:-:-:A A",
      "v2:1:-:-:AA",
      `v2:1:-:-:${DIGEST}:`,
      "v2:1:-:2:0OIl:",
      `v2:1:2:-:${DIGEST}:`,
    ]
  ) assertEquals(decodeCursor(bad), undefined, bad);
  fc.assert(fc.property(fc.string(), (text) => {
    decodeCursor(text); // and does not throw
  }));
});

Deno.test("encodeCursor() refuses an event without a place", () => {
  const event = { transactionIndex: undefined, eventIndex: 0, transactionDigest: undefined };
  assertThrows(() => encodeCursor({ checkpoint: 1n, event, token: undefined }), TypeError);
});

Deno.test("comparePositions() orders by checkpoint, transaction, event, and the whole last", () => {
  const at = (checkpoint: bigint, transactionIndex: bigint, eventIndex: number) => ({
    checkpoint,
    event: { transactionIndex, eventIndex },
  });
  const ordered = [at(1n, 0n, 0), at(1n, 0n, 1), at(1n, 2n, 0), {
    checkpoint: 1n,
    event: undefined,
  }];
  const shuffled = [ordered[3], ordered[1], ordered[0], ordered[2]].filter((p) => p !== undefined);
  assertEquals(shuffled.toSorted(comparePositions), ordered);
  assertEquals(comparePositions(at(3n, 1n, 1), at(3n, 1n, 1)), 0);
});
