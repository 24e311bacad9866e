import {
  assert,
  assertEquals,
  assertNotEquals,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { BackendError } from "../mod.ts";
import { initialPolicy } from "./init.ts";
import { repeatedKey } from "./jsonc_keys.ts";
import { lintPolicy } from "./lint.ts";
import { parsePolicy, policyFromJson, sectionOf } from "./mod.ts";

const M = "11".repeat(48);

Deno.test("parsePolicy() reads JSONC, fills strict defaults, and freezes", () => {
  const policy = parsePolicy(`{
    // comment
    "version": 1, "id": "a/b-1", /* another */
    "sevSnp": { "measurements": ["${M}"], "minimumTcb": { "Milan": { "snp": 20 } } },
  }`);
  const section = policy.sections.sevSnp;
  assert(section !== undefined);
  assertEquals(section.crl, "require");
  assertEquals(section.reportData, "require");
  assertEquals(section.vmpl, [0]);
  assertEquals(
    [section.allowDebug, section.allowMigrationAgent, section.allowProvisionalFirmware],
    [false, false, false],
  );
  assertEquals(policy.node.covers, ["program", "image"]);
  assertEquals(policy.node.allowNonceless, false);
  assert(Object.isFrozen(policy.node.covers) && Object.isFrozen(section.minimumTcb));
  assertEquals(sectionOf(policy, "nitro"), undefined);
});

Deno.test("parsePolicy() refuses what it does not know, naming the field", () => {
  const refuse = (text: string, named: string) =>
    assertThrows(() => parsePolicy(text), BackendError, named);
  const snp = (body: string) =>
    `{"version": 1, "id": "x", "sevSnp": {"measurements": "any", "minimumTcb": "any"${body}}}`;
  refuse("", "policy");
  refuse("[]", "version");
  refuse(`{"version": 2, "id": "x"}`, "version");
  refuse(`{"version": 1}`, "id");
  refuse(`{"version": 1, "id": ""}`, "id");
  refuse(`{"version": 1, "id": "x", "more": 1}`, "more");
  refuse(`{"version": 1, "id": "x", "sevSnp": {"measurements": []}}`, "measurements");
  refuse(`{"version": 1, "id": "x", "sevSnp": {"minimumTcb": "any"}}`, "measurements");
  refuse(`{"version": 1, "id": "x", "sevSnp": {"measurements": "any"}}`, "minimumTcb");
  refuse(snp(`, "measurments": "any"`), "measurments");
  refuse(snp(`, "allowDebug": "yes"`), "allowDebug");
  refuse(snp(`, "vmpl": []`), "vmpl");
  refuse(snp(`, "vmpl": [4]`), "vmpl");
  refuse(snp(`, "hostData": ["AA"]`), "hostData");
  refuse(snp(`, "crl": "no"`), "crl");
  refuse(snp(`, "minimumLaunchTcb": {"Milan": {}}`), "minimumLaunchTcb");
  refuse(snp(`, "allowDebug": false, "allowDebug": true`), "allowDebug");
  refuse(snp(`, "__proto__": {"allowDebug": true}`), "__proto__");
  refuse(`{"version": 1, "id": "x", "nitro": {"pcrs": {}}}`, "pcrs");
  refuse(`{"version": 1, "id": "x", "nitro": {"pcrs": {"32": "any"}}}`, "pcrs");
  refuse(`{"version": 1, "id": "x", "trustzone": {"keys": []}}`, "keys");
  refuse(`{"version": 1, "id": "x", "simulation": {"allowSimulation": true}}`, "simulation");
  refuse(" ".repeat(2 << 20), "larger");
});

Deno.test("repeatedKey() finds keys that stand twice, in any nesting, not in strings or comments", () => {
  assertEquals(repeatedKey(`{"a": {"b": 1}, "c": [{"b": 1}, {"b": 2}]}`), undefined);
  assertEquals(repeatedKey(`{"a": {"b": 1, "b": 2}}`), "a.b");
  assertEquals(repeatedKey(`{"a": "a", /* "a": */ "b": "\\"a\\": 1" // "a":\n}`), undefined);
  assertEquals(repeatedKey(`{"a": 1, "\\u0061": 2}`), "a");
  assertEquals(repeatedKey(`{"a" /* x */ : 1, "a": 2}`), "a");
});

Deno.test("a policy's digest is of what it means, not of how it is written", () => {
  const a = parsePolicy(`{"version":1,"id":"x","nitro":{"pcrs":"any"}}`);
  const b = parsePolicy(
    `{"id":"x", /* same */ "nitro":{"maxAgeSeconds":300,"pcrs":"any",},"version":1}`,
  );
  const c = parsePolicy(`{"version":1,"id":"x","nitro":{"pcrs":"any","maxAgeSeconds":301}}`);
  assertEquals(a.digest, b.digest);
  assertNotEquals(a.digest, c.digest);
  assert(/^[0-9a-f]{64}$/.test(a.digest));
});

Deno.test("lintPolicy() says nothing open of a strict policy, and each opening of a lax one", () => {
  const strict = policyFromJson({
    version: 1,
    id: "strict",
    node: { configDigests: ["00".repeat(32)] },
    sevSnp: { measurements: [M], minimumTcb: { Milan: { snp: 20 } } },
    nitro: { pcrs: { "0": [M] } },
  });
  assertEquals(lintPolicy(strict), []);
  const lax = policyFromJson({
    version: 1,
    id: "lax",
    node: { covers: ["program", "helper", "none"], allowNonceless: true },
    sevSnp: {
      measurements: "any",
      minimumTcb: "any",
      minimumLaunchTcb: "any",
      allowDebug: true,
      allowMigrationAgent: true,
      allowProvisionalFirmware: true,
      reportData: "any",
      crl: "if_given",
    },
    nitro: { pcrs: "any", allowDebug: true, reportData: "any", maxAgeSeconds: "any" },
    sgx: {
      mrenclaves: "any",
      mrsigners: "any",
      collateral: "if_given",
      crl: "if_given",
      allowDebug: true,
      reportData: "any",
    },
  });
  const open = lintPolicy(lax).filter(({ level }) => level === "open").map(({ field }) => field);
  for (
    const field of [
      "node.covers",
      "node.allowNonceless",
      "sevSnp.measurements",
      "sevSnp.minimumTcb",
      "sevSnp.minimumLaunchTcb",
      "sevSnp.allowDebug",
      "sevSnp.allowMigrationAgent",
      "sevSnp.allowProvisionalFirmware",
      "sevSnp.reportData",
      "sevSnp.crl",
      "nitro.pcrs",
      "nitro.allowDebug",
      "nitro.maxAgeSeconds",
      "sgx.mrenclaves",
      "sgx.collateral",
      "sgx.crl",
      "sgx.allowDebug",
      "sgx.reportData",
    ]
  ) assert(open.includes(field), field);
});

Deno.test("initialPolicy() writes a policy that parses, and never copies debug mode", () => {
  const base = { evidenceDigest: "ab".repeat(32) };
  const snp = initialPolicy({
    ...base,
    teeType: "SEV",
    claims: {
      measurement: M,
      product: "Bergamo/Siena",
      reported_tcb: { bootloader: 1, tee: 0, snp: 2, microcode: 3 },
      vmpl: 1,
      policy_debug: true,
      policy_smt: true,
      signing_key: "VCEK",
      host_data: "00".repeat(32),
      id_key_digest: "01".repeat(48),
    },
  }, ["signature: bad\nnews"]);
  const policy = parsePolicy(snp);
  assertEquals(policy.sections.sevSnp?.allowDebug, false);
  assertEquals(policy.sections.sevSnp?.vmpl, [0]);
  assertEquals(policy.sections.sevSnp?.minimumTcb, {
    Bergamo: { bootloader: 1, tee: 0, snp: 2, microcode: 3 },
    Siena: { bootloader: 1, tee: 0, snp: 2, microcode: 3 },
  });
  assert(snp.includes("signature: bad?news"));
  const nitro = initialPolicy({
    ...base,
    teeType: "NITRO",
    claims: { pcrs: { "0": "00".repeat(48) } },
  }, []);
  assertEquals(parsePolicy(nitro).sections.nitro?.allowDebug, false);
  const tdx = initialPolicy(
    { ...base, teeType: "TDX", claims: { mr_td: M, rtmr: [M, M, M, M] } },
    [],
  );
  assertEquals(parsePolicy(tdx).sections.tdx?.rtmrs, { "0": [M], "1": [M], "2": [M] });
});

Deno.test("initialPolicy() says at its head when it refuses the evidence it was made from", () => {
  const made = (teeType: "SIMULATION" | "SGX" | "SEV", covers: string) =>
    initialPolicy({
      teeType,
      claims: { node: { covers, config_digest: "", store_id: "" } },
      evidenceDigest: "00".repeat(32),
    }, []).split("\n").slice(2, 4).join(" ");
  assertStringIncludes(made("SIMULATION", "none"), "It REFUSES that evidence as it stands: a sim");
  assertStringIncludes(made("SGX", "helper"), 'its measurement covers "helper", not the running');
  assertStringIncludes(made("SEV", "image"), "It accepts what that evidence shows");
});
