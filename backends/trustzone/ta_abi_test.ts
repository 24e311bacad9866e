import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { BackendError, type Bytes } from "../mod.ts";
import {
  EVIDENCE_LENGTH,
  INFO_LENGTH,
  isTaEvidence,
  MAX_EVIDENCE_LENGTH,
  parseInfo,
  parseTaEvidence,
  TA_UUID,
} from "./ta_abi.ts";

const runs = Deno.env.get("NAUTILUS_NIGHTLY") === undefined ? 5_000 : 1_000_000;

/** A well-formed one, with a value of its own at every place. */
function sample(magic: string, length: number, flags = 0): Bytes {
  const bytes = new Uint8Array(length).map((_, index) => index);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(magic));
  view.setUint16(4, 1);
  view.setUint16(6, flags);
  bytes.set(Uint8Array.fromHex(TA_UUID.replaceAll("-", "")), 8);
  view.setUint32(24, 7);
  view.setUint32(28, 9);
  if (magic === "NTZI") bytes.fill(0, 80, 88);
  return bytes;
}

const PARSERS = [
  { name: "parseInfo()", parse: parseInfo, good: sample("NTZI", INFO_LENGTH) },
  { name: "parseTaEvidence()", parse: parseTaEvidence, good: sample("NTZE", EVIDENCE_LENGTH) },
  {
    name: "parseTaEvidence() with a platform attestation",
    parse: parseTaEvidence,
    good: sample("NTZE", EVIDENCE_LENGTH + 32 + 256, 1),
  },
] as const;

function refuses(parse: (bytes: Bytes) => unknown, bytes: Bytes): void {
  assertEquals(assertThrows(() => parse(bytes), BackendError).code, "malformed");
}

for (const { name, parse, good } of PARSERS) {
  Deno.test(`${name} reads every field`, () => {
    const found = parse(good);
    assertEquals(
      [found.uuid, found.codeVersion, found.newestCodeVersion],
      [TA_UUID, 7, 9],
    );
    assertEquals(found.measurement, good.slice(32, 80));
  });
  Deno.test(`${name} refuses any other length, format, flag and order of versions`, () => {
    for (let length = 0; length < good.length; length++) refuses(parse, good.slice(0, length));
    const change = (at: number, ...values: number[]): Bytes => {
      const bytes = good.slice();
      bytes.set(values, at);
      return bytes;
    };
    for (let at = 0; at < 4; at++) refuses(parse, change(at, 0));
    refuses(parse, change(4, 0, 2));
    refuses(parse, change(6, 0, 2));
    refuses(parse, change(6, 0x80, 0));
    refuses(parse, change(28, 0, 0, 0, 6));
  });
  Deno.test(`${name} answers any bytes with a value or a typed refusal`, () => {
    const random = fc.uint8Array({ maxLength: MAX_EVIDENCE_LENGTH + 8 }).map((bytes) =>
      new Uint8Array(bytes)
    );
    const damaged = fc.tuple(fc.nat(good.length - 1), fc.uint8Array({ maxLength: 8 })).map(
      ([at, bytes]) => {
        const out = good.slice();
        out.set(bytes.subarray(0, out.length - at), at);
        return out;
      },
    );
    fc.assert(
      fc.property(fc.oneof(random, damaged), (bytes) => {
        try {
          const found = parse(bytes);
          assertEquals(found.measurement.length, 48);
          assertEquals(found.attestationKey.length, 64);
        } catch (error) {
          assert(error instanceof BackendError && error.code === "malformed", String(error));
        }
      }),
      { numRuns: runs },
    );
  });
}

Deno.test("parseInfo() refuses what is not zero", () => {
  for (let at = 80; at < 88; at++) {
    const bytes = sample("NTZI", INFO_LENGTH);
    bytes[at] = 1;
    refuses(parseInfo, bytes);
  }
});

Deno.test("isTaEvidence() tells it from the attestation PTA's output", () => {
  assert(isTaEvidence(sample("NTZE", EVIDENCE_LENGTH)));
  for (const bytes of [new Uint8Array(0), new Uint8Array(288), sample("NTZI", INFO_LENGTH)]) {
    assert(!isTaEvidence(bytes));
  }
});
