import { assertEquals, assertNotEquals } from "@std/assert";
import * as v from "valibot";
import type { AttestationResult } from "../appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import { classify } from "../evidence_kind.ts";
import type { Bytes } from "../mod.ts";
import { initialPolicy } from "../policy/init.ts";
import { parsePolicy } from "../policy/mod.ts";
import { TrustZoneSection } from "../policy/trustzone.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { createTrustZoneVerifier } from "./appraise.ts";
import { TA_UUID } from "./ta_abi.ts";

const verifier = createTrustZoneVerifier({ signatures: createWebCryptoVerifier() });
const MEASUREMENT = "ab".repeat(48);
const reportData: Bytes = new Uint8Array(64).fill(0x77);

const PSS: RsaHashedKeyGenParams = {
  name: "RSA-PSS",
  modulusLength: 2048,
  publicExponent: Uint8Array.of(1, 0, 1),
  hash: "SHA-256",
};
const ta = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
  "sign",
  "verify",
]);
const platform = await crypto.subtle.generateKey(PSS, true, ["sign", "verify"]);

async function spki(key: CryptoKey): Promise<string> {
  return new Uint8Array(await crypto.subtle.exportKey("spki", key)).toBase64();
}

function concat(...parts: readonly Uint8Array[]): Bytes {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

interface Made {
  readonly uuid?: string;
  readonly codeVersion?: number;
  readonly withPlatform?: boolean;
  /** Instead of the evidence's own. */
  readonly platformNonce?: Bytes;
  readonly memoryDigest?: Bytes;
}

/** Evidence, made from the documentation and not from the TA's sources. */
async function make(made: Made = {}): Promise<Bytes> {
  const { uuid = TA_UUID, codeVersion = 3, withPlatform = false } = made;
  const body = new Uint8Array(208);
  const view = new DataView(body.buffer);
  body.set(new TextEncoder().encode("NTZE"));
  view.setUint16(4, 1);
  view.setUint16(6, withPlatform ? 1 : 0);
  body.set(Uint8Array.fromHex(uuid.replaceAll("-", "")), 8);
  view.setUint32(24, codeVersion);
  view.setUint32(28, codeVersion);
  body.set(Uint8Array.fromHex(MEASUREMENT), 32);
  body.set(reportData, 80);
  body.set(new Uint8Array(await crypto.subtle.exportKey("raw", ta.publicKey)).subarray(1), 144);
  const signed = concat(new TextEncoder().encode("nautilus-tee/trustzone/evidence/v1\n"), body);
  const signature = await crypto.subtle.sign(
    { name: "ECDSA", hash: "SHA-256" },
    ta.privateKey,
    signed,
  );
  const own = concat(body, new Uint8Array(signature));
  if (!withPlatform) return own;
  const nonce = made.platformNonce ?? new Uint8Array(await crypto.subtle.digest("SHA-256", own));
  const digest = made.memoryDigest ?? new Uint8Array(32).fill(0xcc);
  const pss = await crypto.subtle.sign(
    { name: "RSA-PSS", saltLength: 32 },
    platform.privateKey,
    concat(nonce, digest),
  );
  return concat(own, digest, new Uint8Array(pss));
}

const keys = [
  { id: "ta", spki: await spki(ta.publicKey) },
  { id: "platform", spki: await spki(platform.publicKey) },
];
const OPEN = {
  keys,
  taMemoryDigests: ["cc".repeat(32)],
  ta: { measurements: [MEASUREMENT], minimumCodeVersion: 3, platform: "if_given" },
};

function appraise(data: Bytes, section: unknown = OPEN): Promise<AttestationResult> {
  return verifier.appraise({
    evidence: { mediaType: EVIDENCE_MEDIA_TYPE.TrustZone, data, endorsements: [] },
    endorsements: [],
    expectedReportData: reportData,
    policy: { id: "x", digest: "", section: v.parse(TrustZoneSection, section) },
    now: 0,
  });
}

/** Tier, then id and code of what did not pass, apart from what always stands there. */
function verdict({ tier, checks }: AttestationResult): string[] {
  const wrong = checks.filter(({ status, id }) => status !== "pass" && id !== "vendor_chain");
  return [tier, ...wrong.map(({ id, code }) => `${id}: ${code}`)];
}

Deno.test("evidence of a TA is affirmed under a policy that pins its key and measurement", async () => {
  assertEquals(verdict(await appraise(await make())), [
    "affirming",
    "platform_attestation: no_platform_attestation",
  ]);
  const result = await appraise(await make({ withPlatform: true }), {
    ...OPEN,
    ta: { ...OPEN.ta, platform: "require" },
  });
  assertEquals(verdict(result), ["affirming"]);
  assertEquals(
    ["measurement", "code_version", "pinned_key", "ta_memory_digest"].map((name) =>
      result.claims[name]
    ),
    [MEASUREMENT, 3, "ta", "cc".repeat(32)],
  );
});

Deno.test("evidence of a TA is refused with any one byte altered, cut or added", async () => {
  for (const withPlatform of [false, true]) {
    const good = await make({ withPlatform });
    for (let at = 0; at < good.length; at++) {
      const bytes = good.slice();
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      assertEquals((await appraise(bytes)).tier, "contraindicated", `byte ${at}`);
    }
    for (const length of [0, 4, 100, 271, good.length - 1]) {
      assertEquals((await appraise(good.slice(0, length))).tier, "contraindicated", `${length}`);
    }
    assertEquals((await appraise(concat(good, new Uint8Array(1)))).tier, "contraindicated");
  }
  // A platform attestation cannot be cut off, and none can be put on.
  const full = await make({ withPlatform: true });
  assertEquals((await appraise(full.slice(0, 272))).tier, "contraindicated");
  assertEquals(
    (await appraise(concat(await make(), full.slice(272)))).tier,
    "contraindicated",
  );
});

Deno.test("what the policy does not accept is named", async () => {
  const evidence = await make();
  const cases: readonly (readonly [Bytes, unknown, string])[] = [
    [evidence, { ...OPEN, ta: undefined }, "measurement: unknown_measurement"],
    [evidence, { ...OPEN, keys: [keys[1]] }, "signature: unknown_key"],
    [
      evidence,
      { ...OPEN, ta: { ...OPEN.ta, measurements: ["cd".repeat(48)] } },
      "measurement: unknown_measurement",
    ],
    [
      evidence,
      { ...OPEN, ta: { ...OPEN.ta, minimumCodeVersion: 4 } },
      "code_version: below_minimum",
    ],
    [
      await make({ uuid: "00000000-da92-4080-89e4-57a9dfcead58" }),
      OPEN,
      "ta_uuid: wrong_ta",
    ],
    [
      await make({ withPlatform: true, platformNonce: new Uint8Array(32) }),
      OPEN,
      "platform_attestation: bad_signature",
    ],
    [
      await make({ withPlatform: true, memoryDigest: new Uint8Array(32) }),
      OPEN,
      "platform_attestation: unknown_measurement",
    ],
    [
      await make({ withPlatform: true }),
      { ...OPEN, keys: [keys[0]] },
      "platform_attestation: bad_signature",
    ],
    [
      evidence,
      { ...OPEN, keys: [...keys, { id: "odd", spki: "AAAA" }] },
      "pinned_keys: unusable_key",
    ],
  ];
  for (const [data, section, wanted] of cases) {
    const [tier, ...wrong] = verdict(await appraise(data, section));
    assertEquals([tier, wrong.includes(wanted)], ["contraindicated", true], `${wanted}: ${wrong}`);
  }
});

Deno.test("a platform that is demanded and does not vouch is a warning, or not looked at", async () => {
  const under = (platformDemand: string) => ({
    ...OPEN,
    ta: { ...OPEN.ta, platform: platformDemand },
  });
  assertEquals((await appraise(await make(), under("require"))).tier, "warning");
  const unpinned = { ...under("ignore"), keys: [keys[0]] };
  const result = await appraise(await make({ withPlatform: true }), unpinned);
  assertEquals(verdict(result), ["affirming", "platform_attestation: ignored"]);
});

Deno.test("other report data, and an endorsement, are refused", async () => {
  const evidence = await make();
  const section = v.parse(TrustZoneSection, OPEN);
  const appraiseWith = (expectedReportData: Bytes, types: readonly string[]) =>
    verifier.appraise({
      evidence: { mediaType: EVIDENCE_MEDIA_TYPE.TrustZone, data: evidence, endorsements: [] },
      endorsements: types.map((type) => ({ type, data: new Uint8Array(1) })),
      expectedReportData,
      policy: { id: "x", digest: "", section },
      now: 0,
    });
  assertEquals((await appraiseWith(reportData, [])).tier, "affirming");
  assertEquals((await appraiseWith(new Uint8Array(64), [])).tier, "contraindicated");
  assertEquals((await appraiseWith(reportData, ["certificates"])).tier, "contraindicated");
  assertNotEquals((await appraiseWith(new Uint8Array(0), [])).tier, "affirming");
});

Deno.test("classify() knows evidence of a TA by its content", async () => {
  const found = classify(await make());
  assertEquals([found.kind, "teeType" in found && found.teeType], ["evidence", "TrustZone"]);
});

Deno.test("initialPolicy() of a TA's evidence is a policy that the evidence meets", async () => {
  for (const withPlatform of [false, true]) {
    const evidence = await make({ withPlatform });
    const text = initialPolicy(await appraise(evidence), []);
    const { trustzone } = parsePolicy(text).sections;
    const result = await appraise(evidence, {
      ...trustzone,
      keys: withPlatform ? keys : trustzone?.keys,
    });
    assertEquals(result.tier, "affirming", text);
    assertEquals(trustzone?.ta?.platform, withPlatform ? "require" : "if_given");
  }
});
