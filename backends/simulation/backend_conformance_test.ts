import { sha256 } from "@noble/hashes/sha2.js";
import { backendSuite } from "../../tests/conformance/backend_suite.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import type { Bytes } from "../mod.ts";
import { decodeEvidence } from "./abi.ts";
import { createSimulationVerifier } from "./appraise.ts";
import { createSimulationFactory } from "./backend.ts";

const random = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));

backendSuite("simulation", async () => {
  const folder = await Deno.makeTempDir({ prefix: "nautilus-simulation-" });
  const verifier = createSimulationVerifier({ signatures: createWebCryptoVerifier() });
  return {
    open({ device = "this", program = "this" } = {}) {
      const factory = createSimulationFactory({
        measureProgram: () => Promise.resolve(new Uint8Array(48).fill(program === "this" ? 1 : 2)),
        random,
        clock: Date.now,
      });
      return factory.open({ dataDir: `${folder}/${device}`, create: true });
    },
    reportDataOf: ({ data }) => decodeEvidence(data).reportData,
    appraise: (evidence, expectedReportData) => {
      const root = evidence.endorsements[0]?.data ?? new Uint8Array(0);
      return verifier.appraise({
        evidence,
        endorsements: [],
        expectedReportData,
        policy: {
          id: "conformance",
          digest: "",
          section: {
            allowSimulation: true,
            trustedRoots: [sha256(root).toHex()],
            measurements: ["01".repeat(48)],
            reportData: "require",
            maxAgeSeconds: 60,
          },
        },
        now: Date.now(),
      });
    },
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}, { measurementLength: 48, policies: ["measurement", "signer"], counter: true });
