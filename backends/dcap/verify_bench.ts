/**
 * SGX and TDX quotes with full collateral, verified and appraised, beside `@phala/dcap-qvl` on the
 * same input in the same run. Warm: collateral, PCK chain and the quoting enclave's endorsement of
 * the attestation key were seen before (the cache is passed in); the quote's own signature, dates,
 * revocation and TCB level are judged anew every time. Cold: nothing is remembered.
 */
import { type BenchSpec, registerWithDeno } from "../../tests/bench/harness.ts";
import type { IntelAppraisal } from "../../tests/pki/intel_appraise.ts";
import { peerCollateral, peerVerify } from "../../tests/pki/intel_peer.ts";
import { makePlatform, TEST_NOW } from "../../tests/pki/intel_platform.ts";
import { intelVectors } from "../../tests/vectors/intel.ts";
import * as v from "valibot";
import type { Verifier } from "../appraisal.ts";
import { SgxSection, TdxSection } from "../policy/dcap.ts";
import { createSgxVerifier } from "../sgx/appraise.ts";
import { loadLibcryptoVerifier } from "../ffi/libcrypto_verify.ts";
import { createWebCryptoVerifier, type SignatureVerifier } from "../signatures.ts";
import { createTdxVerifier } from "../tdx/appraise.ts";
import { parseCertificate } from "../x509/mod.ts";
import { DcapCache } from "./cache.ts";
import { createDcapContext, type DcapContext } from "./context.ts";

type Tee = "SGX" | "TDX";

const REAL: Readonly<Record<Tee, string>> = {
  SGX: "sgx/v3-rkle-processorca-collateral",
  TDX: "tdx/v4-collateral-uptodate",
};

/** Real evidence where it is present, else a platform of the test hierarchy. */
async function input(tee: Tee): Promise<IntelAppraisal> {
  const vector = intelVectors()?.find(({ name }) => name === REAL[tee]);
  const bundle = vector?.files.get("collateral.json");
  const policy = { tcbStatuses: ["UpToDate", "ConfigurationAndSWHardeningNeeded"] };
  if (vector?.quote !== undefined && bundle !== undefined) {
    const endorsements = [{ type: "collateral.json", data: bundle }];
    return { tee, quote: vector.quote, endorsements, now: vector.now, policy };
  }
  const kind = tee === "SGX"
    ? { tee, quoteVersion: 3, bodyType: 1 } as const
    : { tee, quoteVersion: 4, bodyType: 2 } as const;
  const { quote, endorsements, pki } = await makePlatform(kind);
  return { tee, quote, endorsements, now: TEST_NOW, root: pki.root, policy };
}

function contextOf(
  { root }: IntelAppraisal,
  cache: DcapCache | undefined,
  signatures: SignatureVerifier = createWebCryptoVerifier(),
): DcapContext {
  return createDcapContext({
    signatures,
    cache,
    ...(root === undefined ? {} : { root: parseCertificate(root), tcbSigning: [] }),
  });
}

/** One appraisal as a node does it: verifier and policy made once. */
function appraiser(appraisal: IntelAppraisal, context: DcapContext): () => Promise<void> {
  const { tee, quote, endorsements, now, policy } = appraisal;
  const common = {
    evidence: { mediaType: "", data: quote, endorsements: [] },
    endorsements,
    expectedReportData: new Uint8Array(),
    now,
  };
  const run = <Section>(verifier: Verifier<Section>, section: Section) => async () => {
    const { tier } = await verifier.appraise({
      ...common,
      policy: { id: "bench", digest: "", section },
    });
    if (tier !== "affirming") throw new Error(`${tee}: ${tier}`);
  };
  return tee === "SGX"
    ? run(
      createSgxVerifier(context),
      v.parse(SgxSection, { mrenclaves: "any", mrsigners: "any", reportData: "any", ...policy }),
    )
    : run(
      createTdxVerifier(context),
      v.parse(TdxSection, { mrtds: "any", rtmrs: "any", reportData: "any", ...policy }),
    );
}

function withLibcrypto(tee: Tee, warm: boolean): BenchSpec["setup"] {
  return async () => {
    const load = loadLibcryptoVerifier();
    if (!load.loaded) return { skip: load.reason };
    const appraisal = await input(tee);
    const cache = warm ? new DcapCache() : undefined;
    const run = appraiser(appraisal, contextOf(appraisal, cache, load.verifier));
    await run();
    return { run, close: () => load.verifier.close() };
  };
}

function specs(tee: Tee): BenchSpec[] {
  const group = `${tee} quote with full collateral`;
  const warm = async () => {
    const appraisal = await input(tee);
    const run = appraiser(appraisal, contextOf(appraisal, new DcapCache()));
    await run();
    return { run };
  };
  return [
    { group, name: "warm, WebCrypto", target: ">= 1,000/s", setup: warm },
    { group, name: "warm, WebCrypto", inFlight: 8, target: ">= 1,000/s", setup: warm },
    { group, name: "warm, libcrypto", target: ">= 1,000/s", setup: withLibcrypto(tee, true) },
    { group, name: "cold, libcrypto", setup: withLibcrypto(tee, false) },
    {
      group,
      name: "cold, WebCrypto",
      setup: async () => {
        const appraisal = await input(tee);
        return { run: appraiser(appraisal, contextOf(appraisal, undefined)) };
      },
    },
    {
      group,
      name: "peer: @phala/dcap-qvl",
      setup: async () => {
        const { quote, endorsements, root, now } = await input(tee);
        const collateral = peerCollateral(endorsements);
        if (collateral === undefined) return { skip: "the peer wants all of the collateral" };
        return {
          run: () => {
            const verdict = peerVerify(quote, collateral, root, now);
            if (!verdict.accepted) throw new Error(verdict.reason);
          },
        };
      },
    },
  ];
}

export const benches: readonly BenchSpec[] = [...specs("SGX"), ...specs("TDX")];

registerWithDeno(benches, import.meta);
