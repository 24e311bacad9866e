import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { boolean, extension, octets, pem, sequence, tlv } from "../../tests/pki/intel_der.ts";
import { makeCertificate, makeCrl, makeKey } from "../../tests/pki/pki.ts";
import { BackendError } from "../mod.ts";
import {
  CERTIFICATE_LIMITS,
  checkDer,
  derTime,
  oidString,
  parseCertificate,
  parseCrl,
  parsePemCertificates,
  pemBlocks,
  readTlv,
} from "./mod.ts";

const NOW = Date.UTC(2026, 0, 15);

const check = (hex: string) => () => checkDer(Uint8Array.fromHex(hex), CERTIFICATE_LIMITS);

Deno.test("checkDer() takes DER and refuses what is only BER", () => {
  for (
    const good of [
      "3000",
      "30030101ff",
      "020100",
      "02020080",
      "0500",
      "06032a0304",
      "030100",
      "03020780",
    ]
  ) check(good)();
  for (
    const bad of [
      "",
      "30",
      "3080", // indefinite
      "30800000",
      "308100", // long form of a short length
      "30820001",
      "3001", // cut off
      "300000", // bytes follow
      "010101", // boolean neither 00 nor FF
      "0200", // empty integer
      "02020001", // not minimal
      "0202ff80",
      "0501ff",
      "0600",
      "06028001",
      "060180",
      "0300",
      "030108",
      "03020701", // padding not zero
      "1f8100", // multi-byte tag
      "1000", // primitive sequence
      "2400", // constructed octet string
      "3085010000000000",
    ]
  ) assertThrows(check(bad), BackendError, "DER", bad);
});

Deno.test("checkDer() bounds size, depth and number of elements", () => {
  const limits = { maxBytes: 100, maxElements: 10, maxDepth: 3 };
  let nested = tlv(0x05);
  for (let i = 0; i < 4; i++) nested = sequence(nested);
  assertThrows(() => checkDer(nested, limits), BackendError, "nested");
  assertThrows(
    () => checkDer(sequence(...Array.from({ length: 10 }, () => tlv(0x05))), limits),
    BackendError,
    "elements",
  );
  assertThrows(() => checkDer(octets(new Uint8Array(200)), limits), BackendError, "at most");
});

Deno.test("derTime() reads the two forms of RFC 5280 and nothing else", () => {
  const read = (tag: number, text: string) => {
    const bytes = tlv(tag, new TextEncoder().encode(text));
    return derTime(bytes, readTlv(bytes, 0, bytes.length));
  };
  assertEquals(read(0x17, "491231235959Z"), Date.UTC(2049, 11, 31, 23, 59, 59));
  assertEquals(read(0x17, "500101000000Z"), Date.UTC(1950, 0, 1));
  assertEquals(read(0x18, "20500101000000Z"), Date.UTC(2050, 0, 1));
  for (
    const bad of [
      "4912312359Z",
      "491231235959",
      "491331000000Z",
      "490230000000Z",
      "491231240000Z",
      "491231235960Z",
    ]
  ) {
    assertThrows(() => read(0x17, bad), BackendError);
  }
  for (
    const bad of ["20500101000000.5Z", "20500101000000+0100", "20500101000060Z", "99999999999999Z"]
  ) {
    assertThrows(() => read(0x18, bad), BackendError);
  }
});

Deno.test("oidString() writes dotted arcs", () => {
  assertEquals(oidString(Uint8Array.fromHex("2b0601040184780103")), "1.3.6.1.4.1.632.1.3");
  assertEquals(oidString(Uint8Array.fromHex("551d13")), "2.5.29.19");
  assertThrows(() => oidString(Uint8Array.fromHex("2b8affffffffffffffffff7f")), BackendError);
});

async function certificate(
  extensions: readonly Uint8Array[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await makeKey("P-256");
  return await makeCertificate({
    subject: "leaf\u202e",
    issuer: "issuer",
    key,
    issuerKey: key,
    serial: Uint8Array.of(0),
    notBefore: NOW,
    notAfter: NOW + 1000,
    extensions,
  });
}

Deno.test("parseCertificate() reads the fields, with names that cannot steer a terminal", async () => {
  const der = await certificate([extension("1.2.3.4", true, Uint8Array.of(5, 0))]);
  const parsed = parseCertificate(der);
  assertEquals(parsed.serial, "00");
  assertEquals(parsed.issuerName, "O=Nautilus Test, CN=issuer");
  assertEquals(parsed.subjectCommonName, "leaf\u202e".replace("\u202e", "?"));
  assertEquals([parsed.notBefore, parsed.notAfter], [NOW, NOW + 1000]);
  assertEquals(parsed.key, { kind: "ec", curve: "P-256" });
  assertEquals(parsed.algorithm, { kind: "ecdsa", curve: "P-256", format: "der" });
  assertEquals(parsed.extensions.get("1.2.3.4"), { critical: true, value: Uint8Array.of(5, 0) });
  assertEquals(parsed.basicConstraints, { ca: false, pathLength: undefined });
  assertEquals(parsed.keyUsage?.digitalSignature, true);
});

Deno.test("parseCertificate() keeps its own copy of the bytes", async () => {
  const der = await certificate();
  const parsed = parseCertificate(der);
  const before = parsed.tbs.toHex();
  der.fill(0);
  assertEquals(parsed.tbs.toHex(), before);
});

Deno.test("parseCertificate() refuses an extension that stands twice, and trailing bytes", async () => {
  const twice = extension("1.2.3.4", false, Uint8Array.of(5, 0));
  const der = await certificate([twice, twice]);
  assertThrows(() => parseCertificate(der), BackendError, "stands twice");
  const good = await certificate();
  assertThrows(() => parseCertificate(Uint8Array.from([...good, 0])), BackendError, "follow");
});

Deno.test("parseCertificate() refuses a certificate whose two algorithms differ", async () => {
  const der = await certificate();
  const inner = "300a06082a8648ce3d040302";
  const hex = der.toHex();
  assertEquals(hex.split(inner).length, 3);
  const changed = hex.replace(inner, "300a06082a8648ce3d040303");
  assertThrows(() => parseCertificate(Uint8Array.fromHex(changed)), BackendError, "differs");
});

Deno.test("parsePemCertificates() reads blocks in order and refuses halves and other kinds", async () => {
  const [a, b] = [await certificate(), await certificate()];
  const text = `one\n${pem("CERTIFICATE", a)}two\n${pem("CERTIFICATE", b)}`;
  assertEquals(parsePemCertificates(text).map(({ raw }) => raw.toHex()), [a.toHex(), b.toHex()]);
  assertEquals(parsePemCertificates(text.replaceAll("\n", "\r\n")).length, 2);
  assertThrows(() => parsePemCertificates(""), BackendError);
  assertThrows(
    () => parsePemCertificates(text.replace("-----END CERTIFICATE-----", "")),
    BackendError,
  );
  assertThrows(() => parsePemCertificates(pem("PRIVATE KEY", a)), BackendError, "PRIVATE KEY");
  assertThrows(() => pemBlocks(text, 1), BackendError, "more than");
});

Deno.test("parseCrl() reads DER and PEM alike and refuses anything around it", async () => {
  const key = await makeKey("P-256");
  const spec = { issuer: "ca", issuerKey: key, thisUpdate: NOW, nextUpdate: NOW + 1000 };
  const der = await makeCrl({ ...spec, revoked: [Uint8Array.of(0x12, 0x34), Uint8Array.of(0xff)] });
  const parsed = parseCrl(der);
  assertEquals([...parsed.revoked.keys()], ["1234", "00ff"]);
  assertEquals(
    parseCrl(new TextEncoder().encode(pem("X509 CRL", der))).fingerprint,
    parsed.fingerprint,
  );
  assertThrows(() => parseCrl(new TextEncoder().encode(pem("CERTIFICATE", der))), BackendError);
  assertThrows(() => parseCrl(Uint8Array.from([...der, 0])), BackendError);
  const critical = extension("2.5.29.28", true, sequence(boolean(true)));
  const partial = parseCrl(await makeCrl({ ...spec, extensions: [critical] }));
  assertEquals(partial.extensions.get("2.5.29.28")?.critical, true);
});

const RUNS = Deno.env.get("NAUTILUS_NIGHTLY") === undefined ? 1500 : 250_000;

Deno.test("certificate and CRL parsers refuse damaged input with a typed error, always", async () => {
  const key = await makeKey("P-256");
  const spec = {
    issuer: "ca",
    issuerKey: key,
    thisUpdate: NOW,
    nextUpdate: NOW + 1000,
    revoked: [Uint8Array.of(1)],
  };
  const seeds = [await certificate(), await makeCrl(spec)];
  const damage = fc.array(
    fc.record({
      at: fc.nat(),
      kind: fc.constantFrom("flip", "set", "cut", "insert"),
      value: fc.nat(255),
    }),
    { minLength: 1, maxLength: 4 },
  );
  fc.assert(
    fc.property(fc.constantFrom(...seeds), damage, (seed, changes) => {
      let bytes = [...seed];
      for (const { at, kind, value } of changes) {
        const i = at % Math.max(1, bytes.length);
        if (kind === "flip") bytes[i] = (bytes[i] ?? 0) ^ (1 << (value % 8));
        else if (kind === "set") bytes[i] = value;
        else if (kind === "cut") bytes = bytes.slice(0, i);
        else bytes.splice(i, 0, value);
      }
      for (const parse of [parseCertificate, parseCrl]) {
        try {
          parse(Uint8Array.from(bytes));
        } catch (error) {
          assert(error instanceof BackendError && error.code === "malformed", String(error));
        }
      }
    }),
    { numRuns: RUNS },
  );
});
