import { sha256 } from "@noble/hashes/sha2.js";
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { AttestationResult } from "../appraisal.ts";
import { BackendError } from "../errors.ts";
import type { Bytes, Endorsement, Evidence } from "../mod.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { decodeEvidence, encodeEvidence, EVIDENCE_LENGTH } from "./abi.ts";
import {
  createSimulationVerifier,
  parseSimulationPolicy,
  type SimulationPolicy,
} from "./appraise.ts";
import { createSimulationFactory } from "./backend.ts";

const runs = Deno.env.get("NAUTILUS_NIGHTLY") === "1" ? 1_000_000 : 5_000;
const now = 1_790_000_000_000;
const reportData: Bytes = new Uint8Array(64).fill(5);
const random = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));
const verifier = createSimulationVerifier({ signatures: createWebCryptoVerifier() });

async function evidenceOf(measurement = 1): Promise<Evidence> {
  const dataDir = await Deno.makeTempDir({ prefix: "nautilus-appraise-" });
  try {
    const factory = createSimulationFactory({
      measureProgram: () => Promise.resolve(new Uint8Array(48).fill(measurement)),
      random,
      clock: () => now,
    });
    await using backend = await factory.open({ dataDir, create: true });
    assert(backend.attester);
    return await backend.attester.attest(reportData);
  } finally {
    await Deno.remove(dataDir, { recursive: true });
  }
}

function rootOf(evidence: Evidence): Bytes {
  const [root] = evidence.endorsements;
  assert(root);
  return root.data;
}

function trusting(evidence: Evidence): SimulationPolicy {
  return {
    allowSimulation: true,
    trustedRoots: [sha256(rootOf(evidence)).toHex()],
    measurements: ["01".repeat(48)],
    reportData: "require",
    maxAgeSeconds: 60,
  };
}

function appraise(
  evidence: Evidence,
  section: SimulationPolicy,
  more: { expected?: Bytes; now?: number; endorsements?: readonly Endorsement[] } = {},
): Promise<AttestationResult> {
  return verifier.appraise({
    evidence,
    endorsements: more.endorsements ?? [],
    expectedReportData: more.expected ?? reportData,
    policy: { id: "test", digest: "d", section },
    now: more.now ?? now,
  });
}

const failures = (result: AttestationResult): readonly (string | undefined)[] =>
  result.checks.filter(({ status }) => status !== "pass").map(({ code }) => code);

Deno.test("appraise() affirms only what the policy allows in so many words", async () => {
  const evidence = await evidenceOf();
  const policy = trusting(evidence);
  assertEquals((await appraise(evidence, policy)).tier, "affirming");
  const refusals: [Partial<SimulationPolicy>, string][] = [
    [{ allowSimulation: false }, "simulation_refused"],
    [{ trustedRoots: [] }, "unknown_root"],
    [{ trustedRoots: ["00".repeat(32)] }, "unknown_root"],
    [{ measurements: [] }, "unknown_measurement"],
    [{ measurements: ["02".repeat(48)] }, "unknown_measurement"],
  ];
  for (const [change, code] of refusals) {
    const result = await appraise(evidence, { ...policy, ...change });
    assertEquals(result.tier, "contraindicated");
    assertEquals(failures(result), [code]);
    assertEquals(result.expiresAt, undefined);
  }
});

Deno.test("appraise() refuses other report data, old evidence and evidence of the future", async () => {
  const evidence = await evidenceOf();
  const policy = trusting(evidence);
  const other = await appraise(evidence, policy, { expected: new Uint8Array(64) });
  assertEquals(failures(other), ["report_data_mismatch"]);
  assertEquals(failures(await appraise(evidence, policy, { now: now + 60_001 })), ["too_old"]);
  assertEquals(failures(await appraise(evidence, policy, { now: now - 60_001 })), [
    "from_the_future",
  ]);
  assertEquals((await appraise(evidence, policy, { now: now + 60_000 })).tier, "affirming");
});

Deno.test("appraise() refuses another installation's root, none, and two", async () => {
  const [evidence, other] = [await evidenceOf(), await evidenceOf()];
  const policy = trusting(evidence);
  const swapped = { ...evidence, endorsements: other.endorsements };
  assert(failures(await appraise(swapped, trusting(other))).includes("bad_chain"));
  assert(failures(await appraise({ ...evidence, endorsements: [] }, policy)).includes("no_root"));
  const two = await appraise(evidence, policy, { endorsements: other.endorsements });
  assert(failures(two).includes("no_root"));
});

Deno.test("appraise() refuses evidence with any one byte altered", async () => {
  const evidence = await evidenceOf();
  const policy: SimulationPolicy = { ...trusting(evidence), measurements: "any" };
  for (let index = 0; index < EVIDENCE_LENGTH; index++) {
    const data = evidence.data.slice();
    data[index] = (data[index] ?? 0) ^ (1 << (index % 8));
    const result = await appraise({ ...evidence, data }, policy);
    assertEquals(result.tier, "contraindicated", `byte ${index}`);
  }
});

Deno.test("appraise() answers another media type and cut evidence with a check, not a throw", async () => {
  const evidence = await evidenceOf();
  const policy = trusting(evidence);
  const typed = await appraise({ ...evidence, mediaType: "text/plain" }, policy);
  assertEquals(failures(typed), ["media_type"]);
  const cut = await appraise({ ...evidence, data: evidence.data.slice(1) }, policy);
  assertEquals(failures(cut), ["malformed"]);
  assertEquals(cut.tier, "contraindicated");
});

Deno.test("parseSimulationPolicy() has no defaults and refuses unknown fields", async () => {
  const policy = trusting(await evidenceOf());
  assertEquals(parseSimulationPolicy(policy), policy);
  const { allowSimulation: _, ...without } = policy;
  const bad = [without, { ...policy, extra: 1 }, { ...policy, trustedRoots: ["AB"] }, undefined];
  for (const value of bad) {
    const error = assertThrows(() => parseSimulationPolicy(value), BackendError);
    assertEquals(error.code, "config_invalid");
  }
});

Deno.test("decodeEvidence() answers any bytes with evidence or a typed refusal", () => {
  const seed = encodeEvidence({
    bootId: random(16),
    issuedAt: now,
    measurement: random(48),
    reportData,
    attestationKey: random(32),
    certificate: random(64),
    signature: random(64),
  });
  const arbitrary = fc.oneof(
    fc.uint8Array({ maxLength: 400 }),
    fc.record({ at: fc.nat(EVIDENCE_LENGTH - 1), with: fc.nat(255) }).map((edit) => {
      const out = seed.slice();
      out[edit.at] = edit.with;
      return out;
    }),
  );
  fc.assert(
    fc.property(arbitrary, (input) => {
      const bytes = new Uint8Array(input);
      try {
        assertEquals(encodeEvidence(decodeEvidence(bytes)), bytes);
      } catch (error) {
        assert(error instanceof BackendError && error.code === "malformed", String(error));
      }
    }),
    { numRuns: runs },
  );
});

Deno.test("open() checks its configuration strictly", async () => {
  const factory = createSimulationFactory({
    measureProgram: () => Promise.resolve(new Uint8Array(48)),
    random,
    clock: () => now,
  });
  for (
    const config of [
      undefined,
      {},
      { dataDir: "" },
      { dataDir: "x" },
      { dataDir: "x", create: 1 },
      {
        dataDir: "x",
        create: true,
        more: 1,
      },
    ]
  ) {
    const error = await assertRejects(() => factory.open(config), BackendError);
    assertEquals(error.code, "config_invalid");
  }
});
