import { assert, assertEquals } from "@std/assert";
import { testVectors } from "../../tests/vectors/mod.ts";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import type { Bytes } from "../mod.ts";
import { policyFromJson, sectionOf } from "../policy/mod.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { createTrustZoneVerifier } from "./appraise.ts";

const verifier = createTrustZoneVerifier({ signatures: createWebCryptoVerifier() });

testVectors(
  "trustzone",
  "OP-TEE attestation holds for the pinned key and nonce alone",
  async ({ manifest, read }) => {
    const field = (name: string) => String(manifest.expected[name]);
    const modulus = read("pubkey_n.bin").toHex();
    const exponent = read("pubkey_e.bin").toHex();
    const nonce = read("nonce.bin");
    const appraise = async (data: Bytes, nonceGiven: Bytes, modulusPinned = modulus) => {
      const policy = sectionOf(
        policyFromJson({
          version: 1,
          id: "vectors",
          trustzone: {
            keys: [{ id: "qemu", modulus: modulusPinned, exponent }],
            taHeaderDigests: [field("ta_shdr_digest")],
            teeMemoryDigests: [field("tee_memory_hash")],
          },
        }),
        "trustzone",
      );
      assert(policy !== undefined);
      return await verifier.appraise({
        evidence: { mediaType: EVIDENCE_MEDIA_TYPE.TrustZone, data, endorsements: [] },
        endorsements: [],
        expectedReportData: nonceGiven,
        policy,
        now: 0,
      });
    };
    for (
      const [file, kind] of [["ta_shdr_digest.bin", "TA header"], [
        "tee_memory_hash.bin",
        "TEE memory",
      ]] as const
    ) {
      const data = read(file);
      const good = await appraise(data, nonce);
      assertEquals([good.tier, good.claims["measured"], good.claims["pinned_key"]], [
        "affirming",
        kind,
        "qemu",
      ]);
      assertEquals((await appraise(data, nonce.map((byte) => byte ^ 1))).tier, "contraindicated");
      assertEquals((await appraise(data, new Uint8Array(0))).tier, "warning");
      const otherKey = `${modulus.slice(0, -4)}${modulus.endsWith("0001") ? "0003" : "0001"}`;
      assertEquals((await appraise(data, nonce, otherKey)).tier, "contraindicated");
      for (let offset = 0; offset < data.length; offset += 13) {
        const flipped = data.slice();
        flipped[offset] = (flipped[offset] ?? 0) ^ 1;
        assertEquals(
          (await appraise(flipped, nonce)).tier,
          "contraindicated",
          `byte ${offset} is free`,
        );
      }
    }
  },
);
