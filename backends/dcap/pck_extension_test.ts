/** The SGX extension of PCK certificates. */
import { assertEquals, assertThrows } from "@std/assert";
import { boolean, enumerated, integer, octets, oid, sequence } from "../../tests/pki/intel_der.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { decodePckExtension, SGX_EXTENSION_OID } from "./pck_extension.ts";

const field = (arc: string, value: Uint8Array) =>
  sequence(oid(`${SGX_EXTENSION_OID}.${arc}`), value);

const TCB: Readonly<Record<string, Bytes>> = {
  ...Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`2.${i + 1}`, integer(i * 17)])),
  "2.17": integer(300),
  "2.18": octets(new Uint8Array(16).fill(9)),
};

const FIELDS: Readonly<Record<string, Bytes>> = {
  "1": octets(new Uint8Array(16).fill(1)),
  "2": tcb(),
  "3": octets(Uint8Array.of(0, 1)),
  "4": octets(Uint8Array.of(1, 2, 3, 4, 5, 6)),
  "5": enumerated(2),
};

function tcb(changes: Readonly<Record<string, Bytes | undefined>> = {}): Bytes {
  return sequence(...entries({ ...TCB, ...changes }));
}

function entries(fields: Readonly<Record<string, Bytes | undefined>>): Bytes[] {
  return Object.entries(fields).flatMap(([arc, value]) =>
    value === undefined ? [] : [field(arc, value)]
  );
}

function extension(changes: Readonly<Record<string, Bytes | undefined>> = {}): Bytes {
  return sequence(...entries({ ...FIELDS, ...changes }));
}

Deno.test("decodePckExtension() reads processor and platform certificates", () => {
  const processor = decodePckExtension(extension());
  assertEquals(processor.tcbComponents, Array.from({ length: 16 }, (_, i) => i * 17));
  assertEquals(processor.pceSvn, 300);
  assertEquals(processor.fmspc.toHex(), "010203040506");
  assertEquals(processor.sgxType, "scalable_with_integrity");
  assertEquals(processor.platformInstanceId, undefined);
  assertEquals(processor.smtEnabled, undefined);
  const platform = decodePckExtension(extension({
    "6": octets(new Uint8Array(16).fill(6)),
    "7": sequence(field("7.1", boolean(true)), field("7.3", boolean(false))),
    "9": integer(1),
  }));
  assertEquals(platform.platformInstanceId?.toHex(), "06".repeat(16));
  assertEquals(
    [platform.dynamicPlatform, platform.cachedKeys, platform.smtEnabled],
    [true, undefined, false],
  );
});

Deno.test("decodePckExtension() refuses what is missing, repeated, misshapen or out of range", () => {
  const bad: readonly (readonly [what: string, der: Bytes])[] = [
    ...Object.keys(FIELDS).map((arc) => [`no ${arc}`, extension({ [arc]: undefined })] as const),
    ...Object.keys(TCB).map((arc) =>
      [`no ${arc}`, extension({ "2": tcb({ [arc]: undefined }) })] as const
    ),
    ["PPID length", extension({ "1": octets(new Uint8Array(15)) })],
    ["PPID tag", extension({ "1": integer(1) })],
    ["FMSPC length", extension({ "4": octets(new Uint8Array(7)) })],
    ["PCE id length", extension({ "3": octets(new Uint8Array(1)) })],
    ["SGX type", extension({ "5": enumerated(3) })],
    ["component of two bytes", extension({ "2": tcb({ "2.4": integer(256) }) })],
    ["negative component", extension({ "2": tcb({ "2.4": Uint8Array.of(2, 1, 0x80) }) })],
    ["PCESVN of three bytes", extension({ "2": tcb({ "2.17": integer(65536) }) })],
    ["CPUSVN length", extension({ "2": tcb({ "2.18": octets(new Uint8Array(17)) }) })],
    ["FMSPC twice", sequence(...entries(FIELDS), field("4", octets(new Uint8Array(6))))],
    [
      "entry of three",
      sequence(...entries(FIELDS), sequence(oid("1.2.3"), integer(1), integer(2))),
    ],
    ["entry that is no sequence", sequence(...entries(FIELDS), integer(1))],
    ["no sequence", integer(1)],
    ["bytes behind", Uint8Array.of(...extension(), 0)],
    ["empty", new Uint8Array()],
  ];
  for (const [what, der] of bad) {
    const error = assertThrows(() => decodePckExtension(der), BackendError, undefined, what);
    assertEquals(error.code, "malformed", what);
  }
});
