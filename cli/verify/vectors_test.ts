/** The commands as a relying party uses them, on real evidence: a policy from it, then its verdict. */
import { assertEquals } from "@std/assert";
import { testVectors, type VectorCase } from "../../tests/vectors/mod.ts";
import { createWebCryptoVerifier } from "../../backends/signatures.ts";
import { fetchAttestation } from "../client/fetch_attestation.ts";
import { policyCommand } from "./policy.ts";
import { verifyCommand, type VerifyIo } from "./verify.ts";

async function run(
  vector: VectorCase,
  command: typeof verifyCommand | typeof policyCommand,
  args: readonly string[],
  policy = "",
): Promise<{ code: number; out: string }> {
  let out = "";
  const io: VerifyIo = {
    stdout: (text) => void (out += text),
    stderr: () => {},
    now: () => vector.validAt,
    random: (length) => new Uint8Array(length),
    fetchAttestation,
    readFile: (path) =>
      Promise.resolve(path === "policy" ? new TextEncoder().encode(policy) : vector.read(path)),
    listFolder: () => Promise.resolve(undefined),
    signatures: createWebCryptoVerifier(),
  };
  const code = await command(args, io);
  return { code, out };
}

/** Evidence, what goes with it, and the report data or nonce it carries. */
interface Plan {
  readonly evidence: string;
  readonly others: readonly string[];
  readonly expect: readonly string[];
}

async function judge(vector: VectorCase, { evidence, others, expect }: Plan): Promise<void> {
  const files = others.filter((file) => vector.files.includes(file));
  const more = files.length === 0 ? [] : ["--endorsements", ...files];
  const policy = (await run(vector, policyCommand, ["init", "--from", evidence, ...more])).out;
  const { code, out } = await run(vector, verifyCommand, [
    evidence,
    ...files,
    ...expect,
    "--policy",
    "policy",
  ], policy);
  const { crypto, default_policy: verdict } = vector.manifest.verdict;
  assertEquals(code, crypto === "valid" && verdict === "accept" ? 0 : 1, out);
}

const text = (value: unknown, name: string): string => {
  const found = typeof value === "object" && value !== null
    ? Object.entries(value).find(([key]) => key === name)?.[1]
    : undefined;
  return typeof found === "string" ? found : "";
};

testVectors("sev-snp", "policy init and verify agree with the manifest", async (vector) => {
  const expect = ["--report-data", text(vector.manifest.expected["report"], "report_data")];
  const others = ["vcek.der", "vlek.der", "chain.pem"];
  await judge(vector, { evidence: "report.bin", others, expect });
});

testVectors(
  "sev-snp",
  "policy init and verify agree with the manifest, from Azure's report",
  async (vector) => {
    // What a caller asked Azure's paravisor for stands in its claims: zeros, in these.
    const expect = ["--report-data", "00".repeat(64)];
    await judge(vector, { evidence: "hcl_report.bin", others: ["vcek.der", "chain.pem"], expect });
  },
  ({ files }) => files.includes("hcl_report.bin"),
);

testVectors("nitro", "policy init and verify agree with the manifest", async (vector) => {
  const { nonce, user_data: userData } = vector.manifest.expected;
  const flag = typeof nonce === "string" ? ["--nonce", nonce] : [];
  const policyOnly = flag.length === 0;
  if (!policyOnly) {
    return await judge(vector, { evidence: "document.cbor", others: [], expect: flag });
  }
  // Without a nonce nothing ties the document to anybody: never affirmed.
  const policy = (await run(vector, policyCommand, ["init", "--from", "document.cbor"])).out;
  const strict = await run(vector, verifyCommand, ["document.cbor", "--policy", "policy"], policy);
  assertEquals(strict.code, 1, String(userData));
  const open = policy.replace('"reportData": "require"', '"reportData": "any"');
  const { code, out } = await run(
    vector,
    verifyCommand,
    ["document.cbor", "--policy", "policy"],
    open,
  );
  const { crypto, default_policy: verdict } = vector.manifest.verdict;
  assertEquals(code, crypto === "valid" && verdict === "accept" ? 0 : 1, out);
});

for (const family of ["sgx", "tdx"]) {
  testVectors(
    family,
    "policy init and verify agree with the manifest, with full collateral",
    async (vector) => {
      const data =
        /"report_?data":"([0-9a-f]{128})"/i.exec(JSON.stringify(vector.manifest.expected))?.[1] ??
          "";
      const expect = ["--report-data", data];
      await judge(vector, { evidence: "quote.bin", others: ["collateral.json"], expect });
    },
    ({ files }) => files.includes("collateral.json"),
  );
}
