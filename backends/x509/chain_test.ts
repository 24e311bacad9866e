import { assertEquals, assertRejects } from "@std/assert";
import { extension, sequence } from "../../tests/pki/intel_der.ts";
import {
  type CertificateSpec,
  LEAF_USAGE,
  makeCertificate,
  makeCrl,
  makeKey,
  type TestKey,
} from "../../tests/pki/pki.ts";
import { createWebCryptoVerifier, type SignatureVerifier } from "../signatures.ts";
import { type ChainRules, parseCertificate, parseCrl, verifyChain, X509Cache } from "./mod.ts";

const NOW = Date.UTC(2026, 0, 15);
const DAY = 86_400_000;
const SPAN = { notBefore: NOW - 10 * DAY, notAfter: NOW + 10 * DAY };

interface Pki {
  readonly rootKey: TestKey;
  readonly caKey: TestKey;
  readonly leafKey: TestKey;
  readonly root: Uint8Array;
}

async function makePki(): Promise<Pki> {
  const [rootKey, caKey, leafKey] = [
    await makeKey("P-384"),
    await makeKey("P-256"),
    await makeKey("P-256"),
  ];
  const root = await makeCertificate({
    subject: "root",
    issuer: "root",
    key: rootKey,
    issuerKey: rootKey,
    ca: {},
    ...SPAN,
  });
  return { rootKey, caKey, leafKey, root };
}

const ca = ({ rootKey, caKey }: Pki, change: Partial<CertificateSpec> = {}) =>
  makeCertificate({
    subject: "ca",
    issuer: "root",
    key: caKey,
    issuerKey: rootKey,
    ca: { pathLength: 0 },
    serial: Uint8Array.of(5),
    ...SPAN,
    ...change,
  });
const leaf = ({ caKey, leafKey }: Pki, change: Partial<CertificateSpec> = {}) =>
  makeCertificate({
    subject: "leaf",
    issuer: "ca",
    key: leafKey,
    issuerKey: caKey,
    serial: Uint8Array.of(0),
    ...SPAN,
    ...change,
  });

interface Try {
  readonly leaf?: Uint8Array;
  readonly intermediates?: readonly Uint8Array[];
  readonly root?: Uint8Array;
  readonly now?: number;
  readonly crls?: readonly Uint8Array[];
  readonly rules?: Partial<ChainRules>;
  readonly cache?: X509Cache;
  readonly verifier?: SignatureVerifier;
}

async function codes(pki: Pki, change: Try = {}): Promise<string[]> {
  const { findings } = await verifyChain({
    leaf: parseCertificate(change.leaf ?? await leaf(pki)),
    intermediates: (change.intermediates ?? [await ca(pki)]).map(parseCertificate),
    root: parseCertificate(change.root ?? pki.root),
    now: change.now ?? NOW,
    crls: (change.crls ?? []).map(parseCrl),
    rules: { crls: "none", ...change.rules },
    verifier: change.verifier ?? createWebCryptoVerifier(),
    cache: change.cache,
  });
  return findings.map(({ code, index }) => `${index}:${code}`);
}

Deno.test("verifyChain() finds nothing in a good chain, also with serial 0", async () => {
  assertEquals(await codes(await makePki()), []);
});

Deno.test("verifyChain() judges dates at both ends, inclusively", async () => {
  const pki = await makePki();
  assertEquals(await codes(pki, { now: SPAN.notBefore }), []);
  assertEquals(await codes(pki, { now: SPAN.notAfter }), []);
  await assertRejects(() => codes(pki, { now: NaN }), RangeError);
  await assertRejects(() => codes(pki, { now: Infinity }), RangeError);
  assertEquals(await codes(pki, { now: SPAN.notBefore - 1000 }), [
    "2:not_yet_valid",
    "1:not_yet_valid",
    "0:not_yet_valid",
  ]);
  assertEquals(await codes(pki, { leaf: await leaf(pki, { notAfter: NOW - DAY }) }), ["0:expired"]);
  assertEquals(await codes(pki, { intermediates: [await ca(pki, { notAfter: NOW - DAY })] }), [
    "1:expired",
  ]);
  assertEquals(await codes(pki, { leaf: await leaf(pki, { notBefore: NOW + DAY }) }), [
    "0:not_yet_valid",
  ]);
});

Deno.test("verifyChain() refuses other signers, names, orders and roots", async () => {
  const pki = await makePki();
  const other = await makePki();
  assertEquals(await codes(pki, { leaf: await leaf(other) }), ["0:bad_signature"]);
  assertEquals(await codes(pki, { leaf: await leaf(pki, { issuer: "elsewhere" }) }), [
    "0:wrong_issuer",
  ]);
  assertEquals(await codes(pki, { root: other.root }), ["1:bad_signature"]);
  assertEquals(await codes(pki, { intermediates: [] }), [
    "0:wrong_issuer",
    "0:unsupported_algorithm",
  ]);
  const authority = await ca(pki);
  assertEquals(await codes(pki, { intermediates: [authority, authority] }), [
    "2:repeated_certificate",
    "2:path_length",
    "1:wrong_issuer",
    "1:unsupported_algorithm",
  ]);
});

Deno.test("verifyChain() refuses a root that stands in the path twice", async () => {
  const pki = await makePki();
  const path = [await ca(pki), pki.root];
  assertEquals(await codes(pki, { intermediates: path }), ["3:repeated_certificate"]);
});

Deno.test("verifyChain() refuses authorities that are none, and leaves that are", async () => {
  const pki = await makePki();
  const notCa = await makeCertificate({
    subject: "ca",
    issuer: "root",
    key: pki.caKey,
    issuerKey: pki.rootKey,
    ...SPAN,
  });
  assertEquals(await codes(pki, { intermediates: [notCa] }), ["1:not_ca", "1:key_usage"]);
  assertEquals(await codes(pki, { intermediates: [await ca(pki, { keyUsage: LEAF_USAGE })] }), [
    "1:key_usage",
  ]);
  assertEquals(await codes(pki, { intermediates: [await ca(pki, { keyUsage: "none" })] }), [
    "1:key_usage",
  ]);
  assertEquals(await codes(pki, { leaf: await leaf(pki, { ca: {} }) }), [
    "0:not_end_entity",
    "0:key_usage",
  ]);
  assertEquals(await codes(pki, { leaf: await leaf(pki, { keyUsage: "none" }) }), []);
  assertEquals(
    await codes(pki, {
      leaf: await leaf(pki, { keyUsage: "none" }),
      rules: { leafKeyUsageRequired: true },
    }),
    ["0:key_usage"],
  );
  const lax = await ca(pki, { ca: { pathLength: 0, critical: false } });
  assertEquals(await codes(pki, { intermediates: [lax] }), []);
  assertEquals(
    await codes(pki, { intermediates: [lax], rules: { criticalBasicConstraints: true } }),
    ["1:not_critical"],
  );
});

Deno.test("verifyChain() holds to path length constraints", async () => {
  const pki = await makePki();
  const subKey = await makeKey("P-256");
  const sub = await makeCertificate({
    subject: "sub",
    issuer: "ca",
    key: subKey,
    issuerKey: pki.caKey,
    ca: {},
    ...SPAN,
  });
  const end = await makeCertificate({
    subject: "leaf",
    issuer: "sub",
    key: pki.leafKey,
    issuerKey: subKey,
    ...SPAN,
  });
  assertEquals(await codes(pki, { leaf: end, intermediates: [sub, await ca(pki)] }), [
    "2:path_length",
  ]);
  assertEquals(
    await codes(pki, { leaf: end, intermediates: [sub, await ca(pki, { ca: { pathLength: 1 } })] }),
    [],
  );
});

Deno.test("verifyChain() refuses unknown critical extensions, such as a foreign CA's constraints", async () => {
  const pki = await makePki();
  const nameConstraints = extension("2.5.29.30", true, sequence());
  assertEquals(
    await codes(pki, { intermediates: [await ca(pki, { extensions: [nameConstraints] })] }),
    ["1:unknown_critical_extension"],
  );
  assertEquals(await codes(pki, { leaf: await leaf(pki, { extensions: [nameConstraints] }) }), [
    "0:unknown_critical_extension",
  ]);
  const harmless = extension("2.5.29.30", false, sequence());
  assertEquals(
    await codes(pki, { intermediates: [await ca(pki, { extensions: [harmless] })] }),
    [],
  );
  assertEquals(
    await codes(pki, {
      leaf: await leaf(pki, { extensions: [nameConstraints] }),
      rules: { knownCritical: ["2.5.29.30"] },
    }),
    [],
  );
});

Deno.test("verifyChain() applies revocation lists to leaf and intermediates", async () => {
  const pki = await makePki();
  const list = (
    by: "root" | "ca",
    revoked: Uint8Array<ArrayBuffer>[],
    change: Partial<Parameters<typeof makeCrl>[0]> = {},
  ) =>
    makeCrl({
      issuer: by,
      issuerKey: by === "root" ? pki.rootKey : pki.caKey,
      thisUpdate: NOW - DAY,
      nextUpdate: NOW + DAY,
      revoked,
      ...change,
    });
  const all = { rules: { crls: "all" as const } };
  assertEquals(await codes(pki, all), ["1:crl_missing", "0:crl_missing"]);
  assertEquals(await codes(pki, { rules: { crls: "intermediates" } }), ["1:crl_missing"]);
  assertEquals(
    await codes(pki, { ...all, crls: [await list("root", []), await list("ca", [])] }),
    [],
  );
  assertEquals(await codes(pki, { crls: [await list("ca", [Uint8Array.of(0)])] }), ["0:revoked"]);
  assertEquals(await codes(pki, { crls: [await list("root", [Uint8Array.of(5)])] }), ["1:revoked"]);
  assertEquals(await codes(pki, { crls: [await list("root", [], { nextUpdate: NOW - 1000 })] }), [
    "1:crl_expired",
  ]);
  assertEquals(await codes(pki, { crls: [await list("root", [], { nextUpdate: "none" })] }), [
    "1:crl_expired",
  ]);
  assertEquals(await codes(pki, { crls: [await list("root", [], { thisUpdate: NOW + 1000 })] }), [
    "1:crl_not_yet_valid",
  ]);
  assertEquals(await codes(pki, { crls: [await list("root", [], { issuerKey: pki.caKey })] }), [
    "1:crl_bad_signature",
  ]);
  const delta = extension("2.5.29.27", true, sequence());
  assertEquals(await codes(pki, { crls: [await list("root", [], { extensions: [delta] })] }), [
    "1:crl_unsupported",
  ]);
  // An old list still revokes; a good one beside it does not take that back.
  const old = await list("root", [Uint8Array.of(5)], { nextUpdate: NOW - 1000 });
  assertEquals(await codes(pki, { crls: [old, await list("root", [])] }), ["1:revoked"]);
});

Deno.test("verifyChain() with a cache repeats only good answers, and judges dates anew", async () => {
  const pki = await makePki();
  let calls = 0;
  const real = createWebCryptoVerifier();
  const verifier: SignatureVerifier = {
    name: "counting",
    verify: (...input) => {
      calls++;
      return real.verify(...input);
    },
  };
  const shared = {
    cache: new X509Cache(),
    verifier,
    leaf: await leaf(pki),
    intermediates: [await ca(pki)],
  };
  assertEquals(await codes(pki, shared), []);
  assertEquals(calls, 2);
  assertEquals(await codes(pki, shared), []);
  assertEquals(calls, 2);
  assertEquals((await codes(pki, { ...shared, now: NOW + 20 * DAY })).length, 3);
  const bad = { ...shared, leaf: await leaf(await makePki()) };
  for (const wanted of [3, 4]) {
    assertEquals(await codes(pki, bad), ["0:bad_signature"]);
    assertEquals(calls, wanted);
  }
});
