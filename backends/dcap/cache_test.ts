/** The cache repeats answers; it never makes one. */
import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { appraiseIntel, findings } from "../../tests/pki/intel_appraise.ts";
import { appraisalOf, DAY_MS, SGX, TDX } from "../../tests/pki/intel_cases.ts";
import { makePlatform, TEST_NOW } from "../../tests/pki/intel_platform.ts";
import { createWebCryptoVerifier, type SignatureVerifier } from "../signatures.ts";
import { DcapCache, digest } from "./cache.ts";

function counting(): SignatureVerifier & { count: number } {
  const inner = createWebCryptoVerifier();
  return {
    name: "counting",
    count: 0,
    async verify(...input) {
      this.count++;
      return await inner.verify(...input);
    },
  };
}

Deno.test("DcapCache leaves the quote's own signature to verify, and nothing else", async () => {
  for (const kind of [SGX, TDX]) {
    const platform = await makePlatform(kind);
    const signatures = counting();
    const cache = new DcapCache();
    const appraisal = { ...appraisalOf(kind, platform), signatures, cache };
    const cold = await appraiseIntel(appraisal);
    assert(signatures.count > 5);
    signatures.count = 0;
    assertEquals(await appraiseIntel(appraisal), cold);
    assertEquals(signatures.count, 1);
    signatures.count = 0;
    const { cache: _cache, ...uncached } = appraisal;
    assertEquals(await appraiseIntel(uncached), cold);
    assert(signatures.count > 5);
  }
});

Deno.test("DcapCache does not remember dates, refusals or another root", async () => {
  const platform = await makePlatform(TDX);
  const cache = new DcapCache();
  const appraisal = { ...appraisalOf(TDX, platform), cache };
  assertEquals(findings(await appraiseIntel(appraisal)), []);
  const late = await appraiseIntel({ ...appraisal, now: TEST_NOW + 60 * DAY_MS });
  assertEquals(late.tier, "contraindicated");
  const { root: _root, ...production } = appraisal;
  assertEquals((await appraiseIntel(production)).tier, "contraindicated");
  const bad = platform.quote.slice();
  bad[100] = (bad[100] ?? 0) ^ 1;
  for (let i = 0; i < 2; i++) {
    const refused = await appraiseIntel({ ...appraisal, quote: bad });
    assertEquals(findings(refused), ["quote_signature/bad_signature"]);
  }
  assertEquals(findings(await appraiseIntel(appraisal)), []);
});

Deno.test("DcapCache stays within its bounds and tells contents apart", () => {
  const cache = new DcapCache({ collaterals: 2, chains: 1, signatures: 1 });
  const item = (text: string, type = "t") => [{ type, data: new TextEncoder().encode(text) }];
  const first = cache.collateral(item("a"));
  assertStrictEquals(cache.collateral(item("a")), first);
  assert(cache.collateral(item("a", "tt")) !== first);
  assert(cache.collateral([...item("a"), ...item("")]) !== first);
  assert(cache.collateral(item("a")) !== first, "two others came in between");
  cache.markGood("one");
  cache.markGood("two");
  assertEquals([cache.isGood("one"), cache.isGood("two")], [false, true]);
  const bytes = (...values: readonly number[]) => Uint8Array.from(values);
  assert(digest(bytes(1), bytes(2, 3)) !== digest(bytes(1, 2), bytes(3)));
});
