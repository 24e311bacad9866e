import { assertEquals, assertThrows } from "@std/assert";
import type { BcsType } from "@mysten/bcs";
import fc from "fast-check";
import { Coin, RequestField, SealToken, WorkerEntryField, WorkerRegistry } from "./bcs.ts";
import { Bool, decodeStrict, list, type StrictType, struct, Text, U64, U8 } from "./bcs_strict.ts";
import {
  K8sAPIRequest,
  K8sAPIRequestScheduledEvent,
  K8sAPIResultEvent,
  SealTokenRevokedEvent,
  WorkerRegisteredEvent,
  WorkerStatusChangedEvent,
} from "./chain_event.ts";

/** What strictness means: whatever `@mysten/bcs` reads and writes again as the same bytes. */
function reference<T>(type: BcsType<T, T>, bytes: Uint8Array): T | undefined {
  // Its reader looks at the buffer below a view.
  const own = bytes.slice();
  try {
    const value = type.parse(own);
    return type.serialize(value).toBytes().toHex() === own.toHex() ? value : undefined;
  } catch {
    return undefined;
  }
}

function read<T>(type: StrictType<T>, bytes: Uint8Array): T | undefined {
  try {
    return decodeStrict(type, bytes);
  } catch (error) {
    if (error instanceof Error && error.name === "BcsDecodeError") return undefined;
    throw error;
  }
}

function agreesOn<T>(type: StrictType<T>, bytes: Uint8Array): void {
  assertEquals(read(type, bytes), reference(type, bytes), `${type.name} ${bytes.toHex()}`);
}

const Everything = struct<{
  readonly flag: boolean;
  readonly names: readonly string[];
  readonly small: number;
  readonly large: bigint;
  readonly text: string;
}>("Everything", { flag: Bool, names: list(Text), small: U8, large: U64, text: Text });

/** ASCII, other letters, a byte order mark, NUL; short ones and ones longer than a name. */
const text = fc.oneof(
  fc.string({ unit: "binary-ascii", maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.constantFrom("\uFEFF", "\uFEFFa", "a\uFEFF", "\0", "ä".repeat(12), "x".repeat(130)),
);
const everything = fc.record({
  flag: fc.boolean(),
  names: fc.array(text, { maxLength: 4 }),
  small: fc.nat({ max: 255 }),
  large: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  text,
}, { noNullPrototype: true });
const damage = fc.array(
  fc.record({
    what: fc.constantFrom("set", "flip", "insert", "remove", "cut"),
    at: fc.nat({ max: 600 }),
    byte: fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 1, 2, 0x7f, 0x80, 0xed, 0xef, 0xff)),
  }),
  { maxLength: 3 },
);
type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(whole: Uint8Array, wounds: Damage): Uint8Array {
  const bytes = [...whole];
  for (const { what, at, byte } of wounds) {
    const place = bytes.length === 0 ? 0 : at % bytes.length;
    if (what === "set") bytes[place] = byte;
    if (what === "flip") bytes[place] = (bytes[place] ?? 0) ^ (1 << (byte % 8));
    if (what === "insert") bytes.splice(place, 0, byte);
    if (what === "remove") bytes.splice(place, 1);
    if (what === "cut") bytes.length = place;
  }
  return Uint8Array.from(bytes);
}

Deno.test("decodeStrict() reads what @mysten/bcs reads and writes again, and nothing else (property)", () => {
  fc.assert(
    fc.property(everything, damage, (value, wounds) => {
      const whole = Everything.serialize(value).toBytes();
      agreesOn(Everything, whole);
      agreesOn(Everything, damaged(whole, wounds));
    }),
    { numRuns: 150 },
  );
});

Deno.test("decodeStrict() agrees with @mysten/bcs on arbitrary bytes as every struct and event (property)", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 250 }),
      fc.uint8Array({ maxLength: 4 }),
      (some, more) => {
        // Mostly small bytes: lengths that fit.
        for (
          const bytes of [
            some,
            some.map((byte) => byte & 0x07),
            Uint8Array.from([...some, ...more]),
          ]
        ) {
          agreesOn(SealToken, bytes);
          agreesOn(WorkerEntryField, bytes);
          agreesOn(WorkerRegistry, bytes);
          agreesOn(RequestField, bytes);
          agreesOn(Coin, bytes);
          agreesOn(K8sAPIRequestScheduledEvent, bytes);
          agreesOn(K8sAPIRequest, bytes);
          agreesOn(K8sAPIResultEvent, bytes);
          agreesOn(WorkerRegisteredEvent, bytes);
          agreesOn(WorkerStatusChangedEvent, bytes);
          agreesOn(SealTokenRevokedEvent, bytes);
        }
      },
    ),
    { numRuns: 30 },
  );
});

Deno.test("decodeStrict() says what is wrong, and where", () => {
  const wrong: [string, string][] = [
    ["", "it ends too early at byte 0"],
    ["02", "boolean 2 at byte 1"],
    ["00" + "8000", "an overlong length at byte 3"],
    ["00" + "ffffffff0f", "a length beyond 2^31 at byte 6"],
    ["00" + "808080808000", "an overlong length at byte 7"],
    ["00" + "01" + "02" + "61", "it ends too early at byte 3"],
    ["00" + "01" + "02" + "c328", "broken UTF-8 at byte 5"],
    ["00" + "00" + "07" + "01".repeat(8) + "00" + "00", "1 bytes too many at byte 12"],
  ];
  for (const [hex, what] of wrong) {
    assertThrows(() => decodeStrict(Everything, Uint8Array.fromHex(hex)), Error, what);
  }
});
