/**
 * Whole appraisals a second of SEV-SNP, Nitro and OP-TEE, on real evidence where it is beside the
 * project. Warm: chains were seen before, as of the second evidence of a platform. Cold: everything
 * is parsed and verified anew. One at a time, one thread.
 */
import { type BenchSpec, registerWithDeno } from "../tests/bench/harness.ts";
import { vectorCases } from "../tests/vectors/mod.ts";
import { loadLibcryptoVerifier } from "./ffi/libcrypto_verify.ts";
import type { TeeType } from "./mod.ts";
import { policyFromJson } from "./policy/mod.ts";
import { createWebCryptoVerifier, type SignatureVerifier } from "./signatures.ts";
import { createEvidenceVerifier, type EvidenceInput } from "./verification.ts";

const policy = () =>
  policyFromJson({
    version: 1,
    id: "bench",
    sevSnp: { measurements: "any", minimumTcb: "any", crl: "if_given", reportData: "any" },
    nitro: { pcrs: "any", reportData: "any" },
  });

function evidence(family: string, name: string): Omit<EvidenceInput, "policy"> | undefined {
  const vector = vectorCases(family)?.find((each) => each.name === name);
  if (vector === undefined) return undefined;
  const teeType: TeeType = family === "nitro" ? "NITRO" : "SEV";
  const endorsements = family === "nitro" ? [] : [
    { type: "vcek", data: vector.read("vcek.der") },
    { type: "certificates", data: vector.read("chain.pem") },
  ];
  return {
    teeType,
    evidence: {
      mediaType: "",
      data: vector.read(family === "nitro" ? "document.cbor" : "report.bin"),
      endorsements: [],
    },
    endorsements,
    expectedReportData: new Uint8Array(0),
    now: vector.validAt,
  };
}

function bench(
  family: string,
  name: string,
  provider: "WebCrypto" | "libcrypto",
  cache: "bounded" | "none",
  target?: string,
): BenchSpec {
  return {
    group: "verify",
    name: `${family} ${name}, ${cache === "none" ? "cold" : "warm"}, ${provider}`,
    ...(target === undefined ? {} : { target }),
    async setup() {
      const input = evidence(family, name);
      if (input === undefined) return { skip: `../shared/vectors/${family}/${name} is not here` };
      let signatures: SignatureVerifier = createWebCryptoVerifier();
      let close = () => {};
      if (provider === "libcrypto") {
        const load = loadLibcryptoVerifier();
        if (!load.loaded) return { skip: load.reason };
        signatures = load.verifier;
        close = () => load.verifier.close();
      }
      const verifier = createEvidenceVerifier({ signatures, cache });
      const full = { ...input, policy: policy() };
      const { tier, checks } = await verifier.appraise(full);
      if (tier !== "affirming") {
        throw new Error(`the evidence does not affirm: ${JSON.stringify(checks)}`);
      }
      return {
        run: async () => {
          await verifier.appraise(full);
        },
        close,
      };
    },
  };
}

export const benches: readonly BenchSpec[] = [
  bench("sev-snp", "turin-v5-vcek", "WebCrypto", "bounded", ">= 200/s"),
  bench("sev-snp", "turin-v5-vcek", "libcrypto", "bounded", ">= 800/s"),
  bench("sev-snp", "turin-v5-vcek", "WebCrypto", "none"),
  bench("sev-snp", "turin-v5-vcek", "libcrypto", "none"),
  bench("nitro", "2025-dstack", "WebCrypto", "bounded", ">= 200/s"),
  bench("nitro", "2025-dstack", "libcrypto", "bounded"),
  bench("nitro", "2025-dstack", "WebCrypto", "none"),
  bench("nitro", "2025-dstack", "libcrypto", "none"),
];

registerWithDeno(benches, import.meta);
