/**
 * Systematic negatives: from evidence that affirms, everything that is signed is changed byte by
 * byte, every length field is off by one and at its extremes, every item of collateral is altered,
 * left out, doubled. By default every few bytes; NAUTILUS_NIGHTLY=1: every byte of quotes, every seventh of collateral.
 */
import { assert, assertEquals } from "@std/assert";
import {
  appraiseIntel,
  findings,
  type IntelAppraisal,
  nightly,
} from "../../tests/pki/intel_appraise.ts";
import { makePlatform, type PlatformOptions, TEST_NOW } from "../../tests/pki/intel_platform.ts";
import { intelVectors } from "../../tests/vectors/intel.ts";
import type { AttestationResult } from "../appraisal.ts";
import type { Bytes, Endorsement } from "../mod.ts";
import { DcapCache } from "./cache.ts";
import { parseChain } from "./collateral.ts";
import { decodeQuote } from "./quote.ts";

/** Evidence that affirms as it is. */
interface Good {
  readonly name: string;
  readonly appraisal: IntelAppraisal;
}

async function goodEvidence(): Promise<readonly Good[]> {
  const kinds: readonly PlatformOptions[] = [
    { tee: "SGX", quoteVersion: 3, bodyType: 1 },
    { tee: "TDX", quoteVersion: 4, bodyType: 2 },
    { tee: "TDX", quoteVersion: 5, bodyType: 3 },
  ];
  const goods: Good[] = [];
  for (const kind of kinds) {
    const { quote, endorsements, pki } = await makePlatform(kind);
    goods.push({
      name: `${kind.tee} version ${kind.quoteVersion}`,
      appraisal: { tee: kind.tee, quote, endorsements, now: TEST_NOW, root: pki.root },
    });
  }
  const real: readonly [string, Record<string, unknown>][] = [
    ["sgx/v3-rkle-processorca-collateral", { tcbStatuses: ["ConfigurationAndSWHardeningNeeded"] }],
    ["tdx/v4-collateral-uptodate", {}],
  ];
  for (const [name, policy] of real) {
    const vector = intelVectors()?.find((one) => one.name === name);
    const bundle = vector?.files.get("collateral.json");
    if (vector?.quote === undefined || bundle === undefined) continue; // the skipped test below says so
    const { tee, quote, now } = vector;
    const endorsements = [{ type: "collateral.json", data: bundle }];
    goods.push({ name, appraisal: { tee, quote, endorsements, now, policy } });
  }
  return goods;
}

let prepared: Promise<readonly Good[]> | undefined;

/** Made once, when the first test asks. */
function goodCases(): Promise<readonly Good[]> {
  return prepared ??= goodEvidence();
}

if (intelVectors() === undefined) {
  const name = "negatives from real evidence: skipped, ../shared/vectors is not here";
  Deno.test({ name, ignore: true, fn: () => {} });
}

function flipped(bytes: Bytes, offset: number, mask = 0x01): Bytes {
  const out = bytes.slice();
  out[offset] = (out[offset] ?? 0) ^ mask;
  return out;
}

/** The certificates as DER: PEM leaves white space and the last base64 digit some freedom. */
function certificatesOf(quote: Bytes): string {
  return parseChain(decodeQuote(quote).certificationData.data).map(({ fingerprint }) => fingerprint)
    .join();
}

Deno.test("appraise() refuses quotes with any byte changed, or comes to the very same result", async () => {
  for (const { name, appraisal } of await goodCases()) {
    const cache = new DcapCache();
    const before = await appraiseIntel({ ...appraisal, cache });
    assertEquals(before.tier, "affirming", name);
    const { quote } = appraisal;
    const decoded = decodeQuote(quote);
    const signedLength = decoded.signedBytes.length;
    const end = quote.length - decoded.trailingLength;
    const certificates = end - decoded.certificationData.data.length;
    // Header, body, signatures, keys, QE report and lengths; then certificates; then what trails.
    const step = nightly() ? 1 : 41;
    for (let offset = 0; offset < quote.length; offset += offset < 48 ? 1 : step) {
      const changed = flipped(quote, offset, 1 << (offset % 8));
      const result = await appraiseIntel({ ...appraisal, quote: changed, cache });
      const where = `${name}, byte ${offset} of ${quote.length}`;
      if (offset < certificates) {
        assertEquals(result.tier, "contraindicated", where);
        if (offset >= 48 && offset < signedLength && offset >= 54) {
          assert(findings(result).includes("quote_signature/bad_signature"), where);
        }
      } else if (result.tier === "affirming") {
        assert(offset >= end || certificatesOf(changed) === certificatesOf(quote), where);
        assertEquals(facts(result), facts(before), where);
      }
    }
  }
});

/** All that somebody acts on: tier, claims, dates, what holds and what does not. */
function facts({ tier, claims, checks, expiresAt }: AttestationResult): unknown {
  const { trailing_bytes: _trailing, ...rest } = claims;
  // "collateral" names what was given and not needed: it may come to be named.
  const needed = checks.filter(({ id }) => id !== "collateral");
  return { tier, claims: rest, expiresAt, checks: needed.map(({ id, status }) => [id, status]) };
}

Deno.test("appraise() calls quotes malformed when any length field is not exact", async () => {
  const cache = new DcapCache();
  for (const { name, appraisal: uncached } of await goodCases()) {
    const appraisal = { ...uncached, cache };
    const { quote } = appraisal;
    const view = new DataView(quote.buffer, quote.byteOffset, quote.length);
    const version = view.getUint16(0, true);
    const bodyEnd = version === 3 ? 432 : version === 4 ? 632 : 54 + view.getUint32(50, true);
    const keyEnd = bodyEnd + 4 + 128;
    const qeStart = version === 3 ? keyEnd : keyEnd + 6;
    const authLength = qeStart + 448;
    const certLength = authLength + 2 + view.getUint16(authLength, true) + 2;
    const fields: readonly (readonly [name: string, offset: number, size: 2 | 4])[] = [
      ["signature data", bodyEnd, 4],
      ["QE auth data", authLength, 2],
      ["certification data", certLength, 4],
      ...(version === 3 ? [] : [["outer certification data", keyEnd + 2, 4] as const]),
      ...(version === 5 ? [["body size", 50, 4] as const] : []),
    ];
    for (const [field, offset, size] of fields) {
      const max = size === 2 ? 0xffff : 0xffffffff;
      const right = size === 2 ? view.getUint16(offset, true) : view.getUint32(offset, true);
      const values = [
        right - 1,
        right + 1,
        0,
        1,
        max,
        max - 1,
        0x7fffffff & max,
        (right + 0x100) & max,
      ];
      for (const value of values) {
        if (value === right || value < 0) continue;
        const changed = quote.slice();
        const target = new DataView(changed.buffer);
        if (size === 2) target.setUint16(offset, value, true);
        else target.setUint32(offset, value, true);
        const result = await appraiseIntel({ ...appraisal, quote: changed });
        assertEquals(findings(result), ["format/malformed"], `${name}: ${field} ${value}`);
      }
    }
    for (
      let length = 0;
      length < quote.length - decodeQuote(quote).trailingLength;
      length += nightly() ? 1 : 211
    ) {
      const result = await appraiseIntel({ ...appraisal, quote: quote.slice(0, length) });
      assertEquals(findings(result), ["format/malformed"], `${name}: cut to ${length}`);
    }
  }
});

Deno.test("appraise() calls quotes malformed with types, versions and vendors that do not exist", async () => {
  for (const { name, appraisal } of await goodCases()) {
    const { quote } = appraisal;
    const decoded = decodeQuote(quote);
    const put = (offset: number, value: number, size: 2 | 4 = 2) => {
      const changed = quote.slice();
      const view = new DataView(changed.buffer);
      if (size === 2) view.setUint16(offset, value, true);
      else view.setUint32(offset, value, true);
      return changed;
    };
    const changes: readonly (readonly [string, Bytes])[] = [
      ...[0, 1, 2, 6, 0xffff].map((version) => [`version ${version}`, put(0, version)] as const),
      ...[0, 1, 3, 4].map((type) => [`key type ${type}`, put(2, type)] as const),
      ...[1, 0x80, 0x82, 0x81000000].map((tee) => [`TEE type ${tee}`, put(4, tee, 4)] as const),
      ["TEE and version do not go together", put(4, decoded.tee === "SGX" ? 0x81 : 0, 4)],
      ["QE vendor", flipped(quote, 12)],
      ...(decoded.header.version === 5
        ? [0, 1, 2, 4].map((type) => [`body type ${type}`, put(48, type)] as const)
        : []),
    ];
    for (const [what, changed] of changes) {
      const result = await appraiseIntel({ ...appraisal, quote: changed });
      assertEquals(findings(result), ["format/malformed"], `${name}: ${what}`);
    }
    const version = decoded.header.version;
    const keyEnd = decoded.signedBytes.length + 4 + 128;
    const certType = (version === 3 ? keyEnd : keyEnd + 6) + 448 + 2 + decoded.qeAuthData.length;
    for (const type of [0, 6, 7, 0xffff]) {
      const result = await appraiseIntel({ ...appraisal, quote: put(certType, type) });
      assertEquals(findings(result), ["format/malformed"], `${name}: certification data ${type}`);
    }
    if (version !== 3) {
      for (const type of [0, 1, 5, 7]) {
        const result = await appraiseIntel({ ...appraisal, quote: put(keyEnd, type) });
        assertEquals(findings(result), ["format/malformed"], `${name}: outer type ${type}`);
      }
    }
    for (const type of [1, 2, 3]) {
      const result = await appraiseIntel({ ...appraisal, quote: put(certType, type) });
      assert(findings(result).includes("pck_chain/pck_missing"), `${name}: PPID of type ${type}`);
      assert(result.tier !== "affirming");
    }
  }
});

Deno.test("appraise() refuses collateral with any byte changed, or comes to the very same result", async () => {
  const step = nightly() ? 7 : 211;
  for (const { name, appraisal } of await goodCases()) {
    const cache = new DcapCache();
    const before = await appraiseIntel({ ...appraisal, cache });
    for (const [index, { type, data }] of appraisal.endorsements.entries()) {
      for (let offset = index; offset < data.length; offset += step) {
        const endorsements: Endorsement[] = [...appraisal.endorsements];
        endorsements[index] = { type, data: flipped(data, offset, 1 << (offset % 7)) };
        const result = await appraiseIntel({ ...appraisal, endorsements, cache });
        if (result.tier !== "affirming") continue;
        assertEquals(facts(result), facts(before), `${name}: ${type}, byte ${offset}`);
      }
    }
  }
});

Deno.test("appraise() never affirms when an item of collateral is left out", async () => {
  for (const { name, appraisal } of await goodCases()) {
    const { endorsements } = appraisal;
    if (endorsements.length === 1) {
      const result = await appraiseIntel({ ...appraisal, endorsements: [] });
      assertEquals(result.tier, "warning", name);
      continue;
    }
    for (const { type } of endorsements) {
      const rest = endorsements.filter((item) => item.type !== type);
      const result = await appraiseIntel({ ...appraisal, endorsements: rest });
      assert(result.tier !== "affirming", `${name} without ${type}`);
    }
  }
});

Deno.test("appraise() comes to the same result in whatever order collateral is given", async () => {
  for (const { appraisal } of await goodCases()) {
    const names = ({ checks }: AttestationResult) => checks.map(({ id, status }) => [id, status]);
    const before = await appraiseIntel(appraisal);
    const endorsements = [...appraisal.endorsements].reverse();
    assertEquals(names(await appraiseIntel({ ...appraisal, endorsements })), names(before));
    const twice = [...appraisal.endorsements, ...appraisal.endorsements];
    assertEquals(names(await appraiseIntel({ ...appraisal, endorsements: twice })), names(before));
  }
});

Deno.test("appraise() holds certificates, lists and documents to the clock it is given", async () => {
  const year = 365 * 86_400_000;
  for (const { name, appraisal } of await goodCases()) {
    const { now } = appraisal;
    for (const at of [now - 20 * year, now - 2 * year, now + year, now + 30 * year]) {
      const result = await appraiseIntel({ ...appraisal, now: at });
      assertEquals(result.tier, "contraindicated", `${name} at ${new Date(at).toISOString()}`);
    }
    const { expiresAt } = await appraiseIntel(appraisal);
    assert(expiresAt !== undefined && expiresAt > now);
    const late = await appraiseIntel({ ...appraisal, now: expiresAt + 1000 });
    assertEquals(late.tier, "contraindicated");
    const early = await appraiseIntel({ ...appraisal, now: expiresAt - 1 });
    assertEquals(early.tier, "affirming", "what is said to hold until then does hold until then");
  }
});

Deno.test("appraise() refuses the evidence of one platform with the signature of another", async () => {
  const kind: PlatformOptions = { tee: "TDX", quoteVersion: 4, bodyType: 2 };
  const one = await makePlatform(kind);
  const other = await makePlatform({ ...kind, body: { 136: "ab" } });
  const quote = one.quote.slice();
  quote.set(other.quote.subarray(0, 632));
  const { endorsements, pki } = one;
  const result = await appraiseIntel({
    tee: "TDX",
    quote,
    endorsements,
    now: TEST_NOW,
    root: pki.root,
  });
  assertEquals(findings(result), ["quote_signature/bad_signature"]);
});
