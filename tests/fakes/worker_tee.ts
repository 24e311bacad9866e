/** For tests: simulated TEEs of workers, and the policy that knows them. */
import { assert } from "@std/assert";
import { createHash } from "node:crypto";
import { createWorkerAppraiser } from "../../api/worker_appraiser.ts";
import type { WorkerAppraiser } from "../../api/worker_evidence.ts";
import { evidenceToWire } from "../../backends/attestation.ts";
import type { Bytes, TeeBackend } from "../../backends/mod.ts";
import { parsePolicy } from "../../backends/policy/mod.ts";
import { createWebCryptoVerifier } from "../../backends/signatures.ts";
import { createSimulationFactory } from "../../backends/simulation/backend.ts";
import { createEvidenceVerifier } from "../../backends/verification.ts";
import { randomBytes } from "./api.ts";

export const MEASUREMENT = new Uint8Array(48).fill(0x44);
export const MAX_AGE_SECONDS = 900;

/** A simulated TEE on a machine of its own. */
export interface Machine extends AsyncDisposable {
  readonly backend: TeeBackend;
  /** SHA-256 of its root, hex. */
  readonly root: string;
  /** Evidence in the form of the wire. */
  evidence(reportData: Bytes): Promise<WireEvidence>;
}

export interface WireEvidence {
  readonly tee_type: string;
  readonly data: string;
  readonly endorsements: readonly { readonly type: string; readonly data: string }[];
}

export async function machine(clock: () => number, measurement = MEASUREMENT): Promise<Machine> {
  const dataDir = await Deno.makeTempDir();
  const backend = await createSimulationFactory({
    measureProgram: () => Promise.resolve(measurement),
    random: randomBytes,
    clock,
  }).open({ dataDir, create: true });
  const attest = async (reportData: Bytes) => {
    assert(backend.attester);
    return await backend.attester.attest(reportData);
  };
  const [root] = (await attest(new Uint8Array(64))).endorsements;
  assert(root);
  return {
    backend,
    root: createHash("sha256").update(root.data).digest("hex"),
    async evidence(reportData) {
      const { data, endorsements } = evidenceToWire(await attest(reportData));
      return { tee_type: "SIMULATION", data, endorsements };
    },
    async [Symbol.asyncDispose]() {
      await backend[Symbol.asyncDispose]();
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}

export interface PolicyChoices {
  readonly allowSimulation?: boolean;
  readonly measurement?: string;
  readonly reportData?: "require" | "any";
  readonly id?: string;
  readonly maxAgeSeconds?: number;
}

/** @param roots whose machines are known, SHA-256 in hex */
export function policyText(roots: string | readonly string[], choices: PolicyChoices = {}): string {
  const { allowSimulation = true, measurement, reportData = "require", id = "workers" } = choices;
  const { maxAgeSeconds = MAX_AGE_SECONDS } = choices;
  return JSON.stringify({
    version: 1,
    id,
    simulation: {
      allowSimulation,
      trustedRoots: [roots].flat(),
      measurements: [measurement ?? MEASUREMENT.toHex()],
      reportData,
      maxAgeSeconds,
    },
  });
}

/** Counts what it is asked to judge. */
export function appraiserOf(
  text: string,
  clock: () => number,
  maxAgeMs = 86_400_000,
): WorkerAppraiser & { calls: number } {
  const signatures = createWebCryptoVerifier();
  const policy = parsePolicy(text);
  const real = createWorkerAppraiser({
    policy,
    evidence: createEvidenceVerifier({ signatures }),
    maxAgeMs,
    clock,
  });
  const counting = {
    calls: 0,
    policyDigest: real.policyDigest,
    maxAgeMs,
    appraise: (...args: Parameters<WorkerAppraiser["appraise"]>) => {
      counting.calls++;
      return real.appraise(...args);
    },
  };
  return counting;
}
