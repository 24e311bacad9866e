import { assert, assertEquals } from "@std/assert";
import { decode, encode } from "cborg";
import { extension, sequence } from "../../tests/pki/intel_der.ts";
import { makeCertificate, makeCrl, makeKey } from "../../tests/pki/pki.ts";
import {
  makeDocument,
  makeNitroAuthorities,
  NITRO_NOW,
  type NitroAuthorities,
  signDocument,
} from "../../tests/pki/nitro.ts";
import type { AttestationResult } from "../appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import type { Bytes, Endorsement } from "../mod.ts";
import { policyFromJson, sectionOf } from "../policy/mod.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { X509Cache } from "../x509/mod.ts";
import { createNitroVerifier } from "./appraise.ts";

const signatures = createWebCryptoVerifier();

async function appraise(
  authorities: NitroAuthorities,
  data: Bytes,
  change: {
    readonly policy?: Record<string, unknown>;
    readonly now?: number;
    readonly nonce?: Bytes;
    readonly reportData?: Bytes;
    readonly endorsements?: readonly Endorsement[];
    readonly root?: Bytes;
  } = {},
): Promise<AttestationResult> {
  const policy = sectionOf(
    policyFromJson({
      version: 1,
      id: "test",
      nitro: { pcrs: "any", reportData: "any", ...change.policy },
    }),
    "nitro",
  );
  assert(policy !== undefined);
  const verifier = createNitroVerifier({
    signatures,
    cache: new X509Cache(),
    root: change.root ?? authorities.root,
  });
  return await verifier.appraise({
    evidence: { mediaType: EVIDENCE_MEDIA_TYPE.NITRO, data, endorsements: [] },
    endorsements: change.endorsements ?? [],
    expectedReportData: change.reportData ?? new Uint8Array(0),
    expectedNonce: change.nonce,
    policy,
    now: change.now ?? NITRO_NOW,
  });
}

const found = (result: AttestationResult): string[] =>
  result.checks.filter(({ status, waived }) =>
    status === "fail" || (status === "missing" && waived !== true)
  )
    .map(({ id, code }) => `${id}:${code}`);

Deno.test("Nitro verifier affirms a document in order", async () => {
  const authorities = await makeNitroAuthorities();
  const result = await appraise(authorities, await makeDocument(authorities));
  assertEquals([result.tier, ...found(result)], ["affirming"]);
  assertEquals(result.expiresAt, NITRO_NOW - 1000 + 300_000);
});

Deno.test("Nitro documents that are not exactly as specified are malformed", async () => {
  const authorities = await makeNitroAuthorities();
  const cert = authorities.leaf;
  const changes: readonly ((fields: Map<string, unknown>) => void)[] = [
    (fields) => fields.delete("module_id"),
    (fields) => fields.set("module_id", ""),
    (fields) => fields.set("module_id", 1),
    (fields) => fields.set("module_id", "a\u001b[2J"),
    (fields) => fields.set("digest", "SHA256"),
    (fields) => fields.set("timestamp", 0),
    (fields) => fields.set("timestamp", -1),
    (fields) => fields.set("timestamp", 1.5),
    (fields) => fields.set("timestamp", "now"),
    (fields) => fields.set("pcrs", new Map()),
    (fields) => fields.set("pcrs", new Map([[32, new Uint8Array(48)]])),
    (fields) => fields.set("pcrs", new Map([[-1, new Uint8Array(48)]])),
    (fields) => fields.set("pcrs", new Map([["0", new Uint8Array(48)]])),
    (fields) => fields.set("pcrs", new Map([[0, new Uint8Array(47)]])),
    (fields) => fields.set("pcrs", new Map([[0, new Uint8Array(32)]])),
    (fields) => fields.set("pcrs", [new Uint8Array(48)]),
    (fields) => fields.set("certificate", new Uint8Array(0)),
    (fields) => fields.set("certificate", new Uint8Array(1025)),
    (fields) => fields.set("certificate", null),
    (fields) => fields.set("cabundle", []),
    (fields) => fields.set("cabundle", Array.from({ length: 11 }, () => cert)),
    (fields) => fields.set("cabundle", [new Uint8Array(1025)]),
    (fields) => fields.set("cabundle", cert),
    (fields) => fields.set("public_key", new Uint8Array(0)),
    (fields) => fields.set("public_key", new Uint8Array(1025)),
    (fields) => fields.set("user_data", new Uint8Array(513)),
    (fields) => fields.set("nonce", new Uint8Array(513)),
    (fields) => fields.set("nonce", "text"),
    (fields) => fields.set("more", 1),
  ];
  for (const change of changes) {
    assertEquals(found(await appraise(authorities, await makeDocument(authorities, change))), [
      "format:malformed",
    ], String(change));
  }
  const limits: readonly ((fields: Map<string, unknown>) => void)[] = [
    (fields) => fields.set("public_key", new Uint8Array(1024)),
    (fields) => fields.set("user_data", new Uint8Array(512)),
    (fields) => fields.set("nonce", new Uint8Array(0)),
    (fields) => fields.delete("public_key"),
  ];
  for (const change of limits) {
    assertEquals(
      found(await appraise(authorities, await makeDocument(authorities, change))),
      [],
      String(change),
    );
  }
});

Deno.test("Nitro envelopes other than exact COSE_Sign1 with ES384 are malformed", async () => {
  const authorities = await makeNitroAuthorities();
  const good = await makeDocument(authorities);
  const [header, , payload, signature]: unknown[] = decode(good, { useMaps: true });
  assert(
    header instanceof Uint8Array && payload instanceof Uint8Array &&
      signature instanceof Uint8Array,
  );
  const envelope = (...parts: unknown[]) => new Uint8Array(encode(parts));
  const empty = new Map();
  const tries: readonly Bytes[] = [
    envelope(header, empty, payload),
    envelope(header, empty, payload, signature, 0),
    envelope(Uint8Array.fromHex("a10126"), empty, payload, signature), // ES256
    envelope(Uint8Array.fromHex("a201382204 41 00".replaceAll(" ", "")), empty, payload, signature),
    envelope(new Uint8Array(0), empty, payload, signature),
    envelope(header, new Map([[1, -35]]), payload, signature),
    envelope(header, {}, payload.toHex(), signature),
    envelope(header, empty, payload, signature.slice(1)),
    envelope(header, empty, payload, Uint8Array.from([...signature, 0])),
    Uint8Array.from([0xd2, ...good]),
    Uint8Array.from([...good, 0]),
    good.slice(0, -1),
    Uint8Array.from([0x9f, ...good.slice(1), 0xff]),
    new Uint8Array(0),
    new Uint8Array(20_000),
  ];
  for (const [i, data] of tries.entries()) {
    assertEquals(found(await appraise(authorities, data)), ["format:malformed"], `envelope ${i}`);
  }
  // A payload that names a field twice, signed by the right key.
  const twice = Uint8Array.from([
    0xa2,
    ...encode("digest"),
    ...encode("SHA384"),
    ...encode("digest"),
    ...encode("SHA384"),
  ]);
  assertEquals(found(await appraise(authorities, await signDocument(twice, authorities.leafKey))), [
    "format:malformed",
  ]);
});

Deno.test("Nitro signatures by another key, or over another payload, are bad", async () => {
  const authorities = await makeNitroAuthorities();
  const [, , payload, signature]: unknown[] = decode(await makeDocument(authorities), {
    useMaps: true,
  });
  assert(payload instanceof Uint8Array && signature instanceof Uint8Array);
  assertEquals(
    found(await appraise(authorities, await signDocument(payload, await makeKey("P-384")))),
    ["signature:bad_signature"],
  );
  for (const value of [0, 0xff]) {
    const envelope = new Uint8Array(
      encode([
        Uint8Array.fromHex("a1013822"),
        new Map(),
        payload,
        signature.slice().fill(value, 0, 48),
      ]),
    );
    assertEquals(found(await appraise(authorities, envelope)), ["signature:bad_signature"]);
  }
});

Deno.test("Nitro chains with a certificate swapped, missing, extra, out of order or foreign are refused", async () => {
  const authorities = await makeNitroAuthorities();
  const other = await makeNitroAuthorities();
  const [root, zonal, instance] = authorities.bundle;
  assert(root !== undefined && zonal !== undefined && instance !== undefined);
  const [, otherZonal] = other.bundle;
  const tries: readonly [unknown[], string][] = [
    [[zonal, instance], "certificate_chain:wrong_root"],
    [[other.root, zonal, instance], "certificate_chain:wrong_root"],
    [[root, instance, zonal], "certificate_chain:wrong_issuer"],
    [[root, instance], "certificate_chain:wrong_issuer"],
    [[root, zonal], "certificate_chain:wrong_issuer"],
    [[root, otherZonal, instance], "certificate_chain:bad_signature"],
    [[root, root, zonal, instance], "certificate_chain:repeated_certificate"],
    [[root, zonal, zonal, instance], "certificate_chain:wrong_issuer"],
    [[root, zonal, instance, instance], "certificate_chain:wrong_issuer"],
    [[root, zonal, instance, new Uint8Array([0x30, 0])], "certificate_chain:malformed"],
  ];
  for (const [cabundle, wanted] of tries) {
    const result = await appraise(
      authorities,
      await makeDocument(authorities, (fields) => fields.set("cabundle", cabundle)),
    );
    const codes = found(result);
    const text = result.checks.map(({ text }) => text ?? "").join();
    assert(
      codes.includes(wanted) || (wanted.endsWith("wrong_issuer") && text.includes("issued by")),
      `${codes.join()} instead of ${wanted}`,
    );
  }
  const document = await makeDocument(authorities);
  assertEquals(found(await appraise(authorities, document, { root: other.root })), [
    "certificate_chain:wrong_root",
    "certificate_chain:bad_signature",
  ]);
});

Deno.test("Nitro chains keep to constraints, key usage and dates", async () => {
  const nameConstraints = extension("2.5.29.30", true, sequence());
  const hour = 3_600_000;
  const tries: readonly [Parameters<typeof makeNitroAuthorities>[0], ...string[]][] = [
    [{ zonal: { extensions: [nameConstraints] } }, "unknown_critical_extension"],
    [{ zonal: { ca: { pathLength: 0 } } }, "path_length"],
    [{ zonal: { ca: { pathLength: 1, critical: false } } }, "not_critical"],
    [{ zonal: { keyUsage: Uint8Array.of(7, 0x80) } }, "key_usage"],
    [{ zonal: { notAfter: NITRO_NOW - hour } }, "expired"],
    [{ zonal: { notBefore: NITRO_NOW + hour } }, "not_yet_valid"],
    [{ zonal: { subject: "elsewhere" } }, "wrong_issuer"],
    [{ leaf: { keyUsage: "none" } }, "key_usage"],
    [{ leaf: { keyUsage: Uint8Array.of(3, 0x08) } }, "key_usage"],
    [{ leaf: { ca: {} } }, "not_end_entity", "key_usage"],
    [{ leaf: { extensions: [nameConstraints] } }, "unknown_critical_extension"],
  ];
  for (const [spec, ...wanted] of tries) {
    const authorities = await makeNitroAuthorities(spec);
    const codes = found(await appraise(authorities, await makeDocument(authorities)));
    assertEquals(codes, wanted.map((code) => `certificate_chain:${code}`), JSON.stringify(spec));
  }
});

Deno.test("Nitro revocation lists count where they are given, or demanded", async () => {
  const authorities = await makeNitroAuthorities({ zonal: { serial: Uint8Array.of(77) } });
  const document = await makeDocument(authorities);
  const missing = await appraise(authorities, document, { policy: { crl: "require" } });
  assertEquals([missing.tier, ...found(missing)], ["warning", "crl:crl_missing"]);
  const data = await makeCrl({
    issuer: "root",
    issuerKey: authorities.rootKey,
    thisUpdate: NITRO_NOW - 1000,
    nextUpdate: NITRO_NOW + 1000,
    revoked: [Uint8Array.of(77)],
  });
  assertEquals(
    found(await appraise(authorities, document, { endorsements: [{ type: "crl", data }] })),
    ["certificate_chain:revoked"],
  );
  const stray = [{ type: "certificates", data: authorities.root }];
  assertEquals(found(await appraise(authorities, document, { endorsements: stray })), [
    "certificates:unknown_endorsement",
  ]);
});

Deno.test("Nitro policy judges PCRs, debug, module, age, nonce and report data", async () => {
  const authorities = await makeNitroAuthorities();
  const document = await makeDocument(authorities);
  const pcr = (byte: number) => byte.toString(16).padStart(2, "0").repeat(48);
  const now = NITRO_NOW;
  assertEquals(
    found(
      await appraise(authorities, document, { policy: { pcrs: { "0": [pcr(1)], "1": [pcr(2)] } } }),
    ),
    [],
  );
  assertEquals(
    found(await appraise(authorities, document, { policy: { pcrs: { "0": [pcr(2)] } } })),
    ["pcr0:unknown_pcr"],
  );
  assertEquals(
    found(await appraise(authorities, document, { policy: { pcrs: { "20": [pcr(2)] } } })),
    ["pcr20:pcr_missing"],
  );
  assertEquals(
    found(await appraise(authorities, document, { policy: { moduleIds: ["i-other"] } })),
    ["module_id:unknown_module"],
  );
  assertEquals(found(await appraise(authorities, document, { now: now + 299_000 })), []);
  assertEquals(found(await appraise(authorities, document, { now: now + 299_001 })), [
    "age:too_old",
  ]);
  assertEquals(
    found(
      await appraise(authorities, document, {
        now: now + 3_000_000,
        policy: { maxAgeSeconds: "any" },
      }),
    ),
    [],
  );
  const ahead = await makeDocument(authorities, (fields) => fields.set("timestamp", now + 61_000));
  assertEquals(found(await appraise(authorities, ahead)), ["age:from_the_future"]);
  const before = await makeDocument(
    authorities,
    (fields) => fields.set("timestamp", now - 4_000_000),
  );
  assertEquals(found(await appraise(authorities, before, { policy: { maxAgeSeconds: "any" } })), [
    "timestamp:timestamp_outside_certificate",
  ]);
  const debug = await makeDocument(
    authorities,
    (fields) => fields.set("pcrs", new Map([[0, new Uint8Array(48)]])),
  );
  assertEquals(found(await appraise(authorities, debug)), ["debug:debug_enabled"]);
  assertEquals(found(await appraise(authorities, debug, { policy: { allowDebug: true } })), []);
  const without = await makeDocument(
    authorities,
    (fields) => fields.set("pcrs", new Map([[4, new Uint8Array(48)]])),
  );
  assertEquals(found(await appraise(authorities, without)), ["debug:debug_enabled"]);
  const strict = { policy: { reportData: "require" } };
  assertEquals(found(await appraise(authorities, document, strict)), ["report_data:not_expected"]);
  const [nonce, data] = [new Uint8Array(32).fill(9), new Uint8Array(64).fill(7)];
  assertEquals(found(await appraise(authorities, document, { ...strict, nonce })), []);
  assertEquals(found(await appraise(authorities, document, { ...strict, reportData: data })), []);
  assertEquals(found(await appraise(authorities, document, { ...strict, nonce: nonce.slice(1) })), [
    "report_data:nonce_mismatch",
  ]);
  assertEquals(
    found(await appraise(authorities, document, { ...strict, reportData: data.slice().fill(8) })),
    ["report_data:report_data_mismatch"],
  );
});

Deno.test("Nitro verifier does not take a P-256 leaf for P-384", async () => {
  const authorities = await makeNitroAuthorities();
  const key = await makeKey("P-256");
  const leaf = await makeCertificate({
    subject: "enclave",
    issuer: "instance",
    key,
    issuerKey: authorities.issuerKey,
    notBefore: NITRO_NOW - 1000,
    notAfter: NITRO_NOW + 1000,
  });
  const document = await makeDocument(authorities, (fields) => fields.set("certificate", leaf));
  assert(found(await appraise(authorities, document)).includes("signature:bad_signature"));
});
