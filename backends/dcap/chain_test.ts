/** Chains of PCK and TCB signing certificates: order, extras, dates, where they come from. */
import { assert, assertEquals } from "@std/assert";
import { appraiseIntel, findings } from "../../tests/pki/intel_appraise.ts";
import {
  appraisalOf,
  DAY_MS,
  KINDS,
  replaced,
  SGX,
  TDX,
  withPckChain,
} from "../../tests/pki/intel_cases.ts";
import {
  makeCertificate,
  makeIntelPki,
  makeKey,
  makePck,
  NAMES,
  pemChain,
} from "../../tests/pki/intel_pki.ts";
import { makePlatform, TEST_NOW, testPki } from "../../tests/pki/intel_platform.ts";
import type { Bytes } from "../mod.ts";
import { parseChain } from "./collateral.ts";

Deno.test("appraise() refuses PCK chains that are not leaf, PCK CA, pinned root in this order", async () => {
  const pki = await testPki();
  const foreign = await makeIntelPki(pki.notBefore, pki.notAfter);
  const key = await makeKey();
  const extra = await makeCertificate({
    subject: NAMES.pck,
    issuer: NAMES.platform,
    key,
    issuerKey: pki.keys.platform,
    notBefore: pki.notBefore,
    notAfter: pki.notAfter,
  });
  const sgx = {
    fmspc: Uint8Array.fromHex("00a0b1c2d3e4"),
    pceId: new Uint8Array(2),
    components: [5, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0],
    pceSvn: 11,
  };
  const pck = await makePck(pki, "platform", sgx);
  const { platform, processor } = pki.authorities;
  const chains: readonly [what: string, chain: Bytes, code: string][] = [
    ["swapped", pemChain(platform, pck, pki.root), "wrong_issuer"],
    ["reversed", pemChain(pki.root, platform, pck), "wrong_issuer"],
    ["one too many", pemChain(pck, platform, pki.root, extra), "unexpected_certificate"],
    ["one too many in front", pemChain(extra, pck, platform, pki.root), "wrong_issuer"],
    ["root twice", pemChain(pck, platform, pki.root, pki.root), "unexpected_certificate"],
    ["the other CA", pemChain(pck, processor, pki.root), "wrong_issuer"],
    ["another root", pemChain(pck, platform, foreign.root), "wrong_root"],
    ["another PCK CA", pemChain(pck, foreign.authorities.platform, pki.root), "bad_signature"],
    ["no PCK CA", pemChain(pck, pki.root), "unexpected_name"],
    ["the leaf alone", pemChain(pck), "chain_incomplete"],
    ["no SGX extension", pemChain(extra, platform, pki.root), "bad_extension"],
    ["not PEM", new TextEncoder().encode("nothing of the kind"), "malformed"],
    ["cut off", pemChain(pck, platform, pki.root).subarray(0, 1500), "malformed"],
  ];
  for (const kind of [SGX, TDX]) {
    const good = await makePlatform(kind);
    for (const [what, chain, code] of chains) {
      const quote = withPckChain(good, chain);
      const result = await appraiseIntel({ ...appraisalOf(kind, good), quote });
      assertEquals(result.tier, "contraindicated", what);
      const found = findings(result);
      assert(found.includes(`pck_chain/${code}`), `${what}: ${found.join(" ")}`);
    }
    const noRoot = withPckChain(good, pemChain(pck, platform));
    const result = await appraiseIntel({ ...appraisalOf(kind, good), quote: noRoot });
    assertEquals(findings(result), [], "the root may be left out: it is pinned");
  }
});

Deno.test("appraise() finds authorities and signers out of date, and ones that are none", async () => {
  const pki = await testPki();
  const past = { notBefore: TEST_NOW - 9 * DAY_MS, notAfter: TEST_NOW - DAY_MS };
  const future = { notBefore: TEST_NOW + DAY_MS, notAfter: TEST_NOW + 9 * DAY_MS };
  const now = { notBefore: pki.notBefore, notAfter: pki.notAfter };
  const make = (who: "platform" | "tcbSigning", dates: typeof past, pathLength?: number) =>
    makeCertificate({
      subject: NAMES[who],
      issuer: NAMES.root,
      key: pki.keys[who],
      issuerKey: pki.keys.root,
      ...dates,
      ...(pathLength === undefined ? {} : { pathLength }),
    });
  for (const kind of [SGX, TDX]) {
    const good = await makePlatform(kind);
    const [leaf] = parseChain(good.pckChain);
    assert(leaf !== undefined);
    const authorities: readonly (readonly [Bytes, string])[] = [
      [await make("platform", past, 0), "expired"],
      [await make("platform", future, 0), "not_yet_valid"],
      [await make("platform", now), "not_ca"],
    ];
    for (const [authority, code] of authorities) {
      const quote = withPckChain(good, pemChain(leaf.raw, authority, pki.root));
      const found = findings(await appraiseIntel({ ...appraisalOf(kind, good), quote }));
      assert(found.includes(`pck_chain/${code}`), `${code}: ${found.join(" ")}`);
    }
    const signers: readonly (readonly [Bytes, string])[] = [
      [await make("tcbSigning", past), "expired"],
      [await make("tcbSigning", future), "not_yet_valid"],
      [await make("tcbSigning", now, 0), "not_end_entity"],
    ];
    for (const [signer, code] of signers) {
      for (const tcbSigningChain of [pemChain(signer, pki.root), pemChain(signer)]) {
        const { endorsements } = replaced(good, { tcbSigningChain });
        const result = await appraiseIntel({ ...appraisalOf(kind, good), endorsements });
        const found = findings(result);
        assert(found.includes(`tcb_info/${code}`), `${code}: ${found.join(" ")}`);
        assert(found.includes(`qe_identity/${code}`), `${code}: ${found.join(" ")}`);
      }
    }
    const chains: readonly (readonly [Bytes, string])[] = [
      [pemChain(pki.root, pki.tcbSigning), "tcb_info/chain_incomplete"],
      [pemChain(pki.tcbSigning, pki.root, pki.root), "tcb_info/unexpected_certificate"],
      [pemChain(pki.tcbSigning, pki.authorities.platform), "tcb_info/wrong_root"],
    ];
    for (const [tcbSigningChain, finding] of chains) {
      const { endorsements } = replaced(good, { tcbSigningChain });
      const found = findings(await appraiseIntel({ ...appraisalOf(kind, good), endorsements }));
      assert(found.includes(finding), `${finding}: ${found.join(" ")}`);
    }
  }
});

Deno.test("appraise() finds the PCK certificate in the collateral when the quote has none", async () => {
  for (const kind of KINDS) {
    const platform = await makePlatform(kind);
    const [leaf, authority] = parseChain(platform.pckChain);
    assert(leaf !== undefined && authority !== undefined);
    const appraisal = appraisalOf(kind, platform);
    const given = (...chains: readonly Bytes[]) => [
      ...platform.endorsements,
      ...chains.map((data, i) => ({ type: `chain ${i}`, data })),
    ];
    const ofType = (type: number, data: Bytes) => {
      const quote = withPckChain(platform, data);
      new DataView(quote.buffer).setUint16(quote.length - data.length - 6, type, true);
      return quote;
    };
    const ppid = new Uint8Array(404);
    const good: readonly (readonly [what: string, quote: Bytes, chains: readonly Bytes[]])[] = [
      ["PPID, whole chain", ofType(3, ppid), [
        pemChain(leaf.raw, authority.raw, platform.pki.root),
      ]],
      ["PPID, leaf and CA apart", ofType(2, ppid), [leaf.raw, pemChain(authority.raw)]],
      ["plain PPID", ofType(1, ppid.slice(0, 36)), [pemChain(leaf.raw, authority.raw)]],
      ["leaf in PEM", ofType(4, pemChain(leaf.raw)), [pemChain(authority.raw)]],
      ["leaf in DER", ofType(4, leaf.raw), [authority.raw]],
    ];
    for (const [what, quote, chains] of good) {
      const result = await appraiseIntel({ ...appraisal, quote, endorsements: given(...chains) });
      assertEquals(findings(result), [], `${kind.tee} ${kind.quoteVersion}: ${what}`);
    }
    const none = await appraiseIntel({ ...appraisal, quote: ofType(3, ppid) });
    assertEquals(findings(none)[0], "pck_chain/pck_missing");
    assert(none.tier !== "affirming");
    const alone = await appraiseIntel({ ...appraisal, quote: ofType(4, leaf.raw) });
    assert(findings(alone).includes("pck_chain/chain_incomplete"));
    const other = await makePck(
      { ...platform.pki, keys: { ...platform.pki.keys, pck: await makeKey() } },
      "platform",
      {
        fmspc: Uint8Array.fromHex("00a0b1c2d3e4"),
        pceId: new Uint8Array(2),
        components: [5, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0],
        pceSvn: 11,
      },
    );
    const quote = ofType(3, ppid);
    const two = given(other, leaf.raw, authority.raw);
    const chosen = await appraiseIntel({ ...appraisal, quote, endorsements: two });
    assertEquals(findings(chosen), [], "of two PCK certificates the one that signed is taken");
    const wrong = given(other, authority.raw);
    const refused = await appraiseIntel({ ...appraisal, quote, endorsements: wrong });
    assert(findings(refused).includes("qe_report_signature/bad_signature"));
  }
});
