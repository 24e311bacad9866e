/** DCAP rules on platforms of the project's own test hierarchy. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { appraiseIntel, findings, type IntelAppraisal } from "../../tests/pki/intel_appraise.ts";
import {
  appraisalOf,
  appraised,
  DAY_MS,
  KINDS,
  replaced,
  SGX,
  TDX,
} from "../../tests/pki/intel_cases.ts";
import { makeCertificate, makeCrl, NAMES, pemChain } from "../../tests/pki/intel_pki.ts";
import {
  makePlatform,
  moduleIdentity,
  type Platform,
  type PlatformOptions,
  signedReply,
  tcbLevel,
  TEST_NOW,
} from "../../tests/pki/intel_platform.ts";
import { BackendError } from "../errors.ts";

Deno.test("appraise() affirms every quote version and body type when all is good", async () => {
  for (const kind of KINDS) {
    const result = await appraised(kind, () => ({
      expectedReportData: new Uint8Array(64).fill(0x33),
    }));
    assertEquals(findings(result), [], JSON.stringify(kind));
    assertEquals(result.tier, "affirming");
    assertEquals(result.expiresAt, TEST_NOW + 29 * DAY_MS);
  }
});

Deno.test("appraise() reports the production root's absence when the root is another", async () => {
  const platform = await makePlatform(SGX);
  const { root: _root, ...rest } = appraisalOf(SGX, platform);
  const result = await appraiseIntel(rest);
  assertEquals(result.tier, "contraindicated");
  assert(findings(result).includes("pck_chain/wrong_root"));
  assert(findings(result).includes("pck_chain/bad_signature"));
});

interface Case {
  readonly what: string;
  readonly options: PlatformOptions;
  readonly change?: (
    platform: Platform,
  ) => Partial<IntelAppraisal> | Promise<Partial<IntelAppraisal>>;
  /** Every finding there is, in order. */
  readonly findings: readonly string[];
}

const CASES: readonly Case[] = [
  {
    what: "the PCK certificate is revoked",
    options: { ...SGX, revokedByAuthority: ["pck"] },
    findings: ["pck_crl/revoked"],
  },
  {
    what: "the PCK CA is revoked",
    options: { ...TDX, revokedByRoot: ["platform"] },
    findings: ["root_crl/revoked"],
  },
  {
    what: "the TCB signing certificate is revoked",
    options: { ...TDX, revokedByRoot: ["tcbSigning"] },
    findings: ["root_crl/revoked"],
  },
  {
    what: "both lists have run out",
    options: { ...SGX, crlDates: { thisUpdate: TEST_NOW - 60 * DAY_MS, nextUpdate: TEST_NOW - 1 } },
    findings: ["pck_crl/crl_expired", "root_crl/crl_expired", "root_crl/crl_expired"],
  },
  {
    what: "the PCK certificate has run out",
    options: { ...SGX, pckDates: { notAfter: TEST_NOW - DAY_MS } },
    findings: ["pck_chain/expired"],
  },
  {
    what: "the PCK certificate is not valid yet",
    options: { ...TDX, pckDates: { notBefore: TEST_NOW + DAY_MS } },
    findings: ["pck_chain/not_yet_valid"],
  },
  {
    what: "the only PCK list is that of the other CA",
    options: { ...SGX, authority: "platform" },
    change: async (platform) => {
      const pckCrl = await makeCrl({
        issuer: NAMES.processor,
        issuerKey: platform.pki.keys.processor,
        thisUpdate: TEST_NOW - DAY_MS,
        nextUpdate: TEST_NOW + DAY_MS,
      });
      return replaced(platform, { pckCrl });
    },
    findings: ["pck_crl/crl_missing"],
  },
  {
    what: "the PCK list is signed by somebody else",
    options: SGX,
    change: async (platform) => {
      const pckCrl = await makeCrl({
        issuer: NAMES.platform,
        issuerKey: platform.pki.keys.processor,
        thisUpdate: TEST_NOW - DAY_MS,
        nextUpdate: TEST_NOW + DAY_MS,
      });
      return replaced(platform, { pckCrl });
    },
    findings: ["pck_crl/crl_bad_signature"],
  },
  {
    what: "no lists are given",
    options: TDX,
    change: (platform) => replaced(platform, { pckCrl: undefined, rootCrl: undefined }),
    findings: ["pck_crl/crl_missing", "root_crl/crl_missing", "root_crl/crl_missing"],
  },
  {
    what: "no TCB info is given",
    options: TDX,
    change: (platform) => replaced(platform, { tcbInfo: undefined }),
    findings: [
      "tcb_info/collateral_missing",
      "tdx_module/collateral_missing",
      "tcb_status/collateral_missing",
    ],
  },
  {
    what: "no TCB info is given and the TDX module is not Intel's",
    options: { ...TDX, body: { 64: "01", 112: "01" } },
    change: (platform) => replaced(platform, { tcbInfo: undefined }),
    findings: [
      "tcb_info/collateral_missing",
      "tdx_module/module_mismatch",
      "tdx_module/module_mismatch",
      "tdx_module/collateral_missing",
      "tcb_status/collateral_missing",
    ],
  },
  {
    what: "no QE identity is given",
    options: SGX,
    change: (platform) => replaced(platform, { qeIdentity: undefined }),
    findings: ["qe_identity/collateral_missing"],
  },
  {
    what: "no QE identity is given and the QE is not Intel's",
    options: { ...SGX, qeBody: { 128: "99".repeat(32) } },
    change: (platform) => replaced(platform, { qeIdentity: undefined }),
    findings: ["qe_report/qe_mismatch", "qe_identity/collateral_missing"],
  },
  {
    what: "no issuer chain of the documents is given and none is built in",
    options: SGX,
    change: (platform) => replaced(platform, { tcbSigningChain: undefined }),
    findings: [
      "qe_identity/chain_incomplete",
      "qe_identity/bad_signature",
      "tcb_info/chain_incomplete",
      "tcb_info/bad_signature",
      "tcb_status/tcb_not_judged",
    ],
  },
  {
    what: "the platform is out of date",
    options: {
      ...SGX,
      components: [4, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0],
      tcbInfo: (info) => ({
        ...info,
        tcbLevels: [
          tcbLevel({
            tee: "SGX",
            components: [5, 5, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0],
            pceSvn: 11,
          }, "UpToDate"),
          tcbLevel({
            tee: "SGX",
            components: [4, 4, 2, 2, 3, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0],
            pceSvn: 11,
          }, "OutOfDate"),
        ],
      }),
    },
    findings: ["tcb_status/tcb_status_not_accepted"],
  },
  {
    what: "a TCB recovery revoked the platform's level",
    options: {
      ...TDX,
      tcbInfo: (info) => ({
        ...info,
        tcbLevels: [tcbLevel({ ...TDX, components: Array(16).fill(0), pceSvn: 0 }, "Revoked")],
      }),
    },
    findings: ["tcb_status/tcb_revoked"],
  },
  {
    what: "PCESVN is below every level",
    options: {
      ...SGX,
      tcbInfo: (info) => ({
        ...info,
        tcbLevels: [tcbLevel({ ...SGX, components: Array(16).fill(0), pceSvn: 12 }, "UpToDate")],
      }),
    },
    findings: ["tcb_status/tcb_no_match"],
  },
  {
    what: "the last of 16 components is too low",
    options: {
      ...SGX,
      tcbInfo: (info) => ({
        ...info,
        tcbLevels: [
          tcbLevel({ ...SGX, components: [...Array(15).fill(0), 1], pceSvn: 0 }, "UpToDate"),
        ],
      }),
    },
    findings: ["tcb_status/tcb_no_match"],
  },
  {
    what: "the TDX module is revoked",
    options: {
      ...TDX,
      tcbInfo: (info) => ({
        ...info,
        tdxModuleIdentities: [moduleIdentity("TDX_01", [[5, "UpToDate"], [3, "Revoked"]])],
      }),
    },
    findings: ["tdx_module/module_revoked", "tcb_status/tcb_revoked"],
  },
  {
    what: "the TDX module has no identity",
    options: {
      ...TDX,
      tcbInfo: (info) => ({
        ...info,
        tdxModuleIdentities: [moduleIdentity("TDX_03", [[1, "UpToDate"]])],
      }),
    },
    findings: ["tdx_module/module_mismatch", "tcb_status/tcb_no_match"],
  },
  {
    what: "the TDX module's SVN is below every level",
    options: { ...TDX, body: { 0: "00" } },
    findings: ["tdx_module/module_unmatched", "tcb_status/tcb_no_match"],
  },
  {
    what: "the TDX module is out of date, with no newer one to relaunch on",
    options: { ...TDX, body: { 0: "02", 584: "02" } },
    findings: ["tcb_status/tcb_status_not_accepted"],
  },
  {
    what: "the TDX module is signed by somebody else",
    options: { ...TDX, body: { 64: "01" } },
    findings: ["tdx_module/module_mismatch"],
  },
  {
    what: "SEAM attributes are set",
    options: { ...TDX, body: { 112: "01" } },
    findings: ["tdx_module/module_mismatch"],
  },
  {
    what: "TCB info is for another FMSPC",
    options: { ...SGX, tcbInfo: (info) => ({ ...info, fmspc: "00A0B1C2D3E5" }) },
    findings: ["platform/fmspc_mismatch", "tcb_status/tcb_not_judged"],
  },
  {
    what: "TCB info is for another PCE",
    options: { ...SGX, tcbInfo: (info) => ({ ...info, pceId: "0100" }) },
    findings: ["platform/pceid_mismatch", "tcb_status/tcb_not_judged"],
  },
  {
    what: "TCB info has run out",
    options: { ...TDX, tcbInfo: (info) => ({ ...info, nextUpdate: "2026-06-15T12:00:00Z" }) },
    findings: ["tcb_info/expired"],
  },
  {
    what: "TCB info is of tomorrow",
    options: { ...TDX, tcbInfo: (info) => ({ ...info, issueDate: "2026-06-15T12:00:01Z" }) },
    findings: ["tcb_info/not_yet_valid"],
  },
  {
    what: "the QE identity has run out",
    options: {
      ...SGX,
      qeIdentity: (identity) => ({ ...identity, nextUpdate: "2026-06-15T12:00:00Z" }),
    },
    findings: ["qe_identity/expired"],
  },
  {
    what: "the QE is another product",
    options: { ...SGX, qeIdentity: (identity) => ({ ...identity, isvprodid: 7 }) },
    findings: ["qe_report/qe_mismatch"],
  },
  {
    what: "the QE's masked attributes, MISCSELECT and signer differ",
    options: {
      ...TDX,
      qeIdentity: (identity) => ({
        ...identity,
        attributes: "51000000000000000000000000000000",
        miscselect: "01000000",
        mrsigner: "12".repeat(32),
      }),
    },
    findings: ["qe_report/qe_mismatch", "qe_report/qe_mismatch", "qe_report/qe_mismatch"],
  },
  {
    what: "the QE is out of date",
    options: { ...SGX, qeIsvSvn: 5 },
    findings: ["tcb_status/tcb_status_not_accepted"],
  },
  {
    what: "the QE's SVN is below every level",
    options: { ...SGX, qeIsvSvn: 4 },
    findings: ["tcb_status/tcb_no_match"],
  },
  {
    what: "the QE is revoked",
    options: {
      ...SGX,
      qeIdentity: (identity) => ({
        ...identity,
        tcbLevels: [{ tcb: { isvsvn: 1 }, tcbDate: "2026-01-01T00:00:00Z", tcbStatus: "Revoked" }],
      }),
    },
    findings: ["tcb_status/tcb_revoked"],
  },
  {
    what: "the QE is a debug enclave",
    options: { ...SGX, qeBody: { 48: "17" } },
    findings: ["qe_report/qe_debug", "qe_report/qe_mismatch"],
  },
  {
    what: "the QE vouches for another key",
    options: { ...SGX, qeBody: { 320: "00".repeat(32) } },
    findings: ["qe_key_binding/key_not_bound"],
  },
  {
    what: "the QE identity is that of the other TEE",
    options: { ...TDX, qeIdentity: (identity) => ({ ...identity, id: "QE" }) },
    findings: ["qe_identity/collateral_missing"],
  },
  {
    what: "TCB info is that of the other TEE",
    options: SGX,
    change: async (platform) => {
      const other = await makePlatform(TDX, platform.pki);
      return replaced(platform, { tcbInfo: other.parts.tcbInfo });
    },
    findings: ["platform/tee_mismatch", "tcb_status/tcb_not_judged"],
  },
  {
    what: "the enclave is a debug enclave",
    options: { ...SGX, body: { 48: "07" } },
    findings: ["debug/debug_enclave"],
  },
  {
    what: "a reserved flag of the enclave is set",
    options: { ...SGX, body: { 48: "0d" } },
    findings: ["attributes/reserved_not_zero"],
  },
  {
    what: "reserved bytes of the enclave report are not zero",
    options: { ...SGX, body: { 100: "01" } },
    findings: ["attributes/reserved_not_zero"],
  },
  {
    what: "the TD is a debug TD",
    options: { ...TDX, body: { 120: "01" } },
    findings: ["debug/debug_td"],
  },
  {
    what: "the TD lets the host inject #VE",
    options: { ...TDX, body: { 123: "00" } },
    findings: ["sept_ve_disable/sept_ve_enabled"],
  },
  {
    what: "the TD can be migrated",
    options: { ...TDX, body: { 123: "30" } },
    findings: ["attributes/attribute_not_accepted"],
  },
  {
    what: "reserved TD attributes are set",
    options: { ...TDX, body: { 121: "80" } },
    findings: ["attributes/attribute_not_accepted"],
  },
  {
    what: "a service TD is bound",
    options: { ...TDX, body: { 600: "01" } },
    findings: ["mr_service_td/not_accepted"],
  },
  {
    what: "TCB info was signed with another key",
    options: SGX,
    change: async (platform) => {
      const text = new TextDecoder().decode(platform.parts.tcbInfo);
      const json: unknown = JSON.parse(text);
      if (typeof json !== "object" || json === null || !("tcbInfo" in json)) throw new Error("no");
      const info = JSON.parse(JSON.stringify(json.tcbInfo));
      const tcbInfo = await signedReply(platform.pki, "tcbInfo", info, platform.pki.keys.pck);
      return replaced(platform, { tcbInfo });
    },
    findings: ["tcb_info/bad_signature", "tcb_status/tcb_not_judged"],
  },
  {
    what: "a PCK certificate poses as TCB signing certificate",
    options: SGX,
    change: async (platform) => {
      const { pki } = platform;
      const posing = await makeCertificate({
        subject: NAMES.tcbSigning,
        issuer: NAMES.platform,
        key: pki.keys.tcbSigning,
        issuerKey: pki.keys.platform,
        notBefore: pki.notBefore,
        notAfter: pki.notAfter,
      });
      return replaced(platform, { tcbSigningChain: pemChain(posing, pki.root) });
    },
    findings: [
      "qe_identity/wrong_issuer",
      "qe_identity/bad_signature",
      "tcb_info/wrong_issuer",
      "tcb_info/bad_signature",
      "tcb_status/tcb_not_judged",
    ],
  },
];

for (const { what, options, change, findings: expected } of CASES) {
  Deno.test(`appraise() says so when ${what} (${options.tee})`, async () => {
    const result = await appraised(options, change);
    assertEquals(findings(result), [...expected]);
    const onlyMissing = expected.every((finding) => finding.endsWith("_missing"));
    assertEquals(result.tier, onlyMissing ? "warning" : "contraindicated");
    assertEquals(result.expiresAt, undefined);
  });
}

Deno.test("appraise() holds the quote to the values of the policy", async () => {
  const sgx = await makePlatform(SGX);
  const sgxCases: readonly [policy: Record<string, unknown>, finding: string | undefined][] = [
    [{ mrenclaves: ["11".repeat(32)], mrsigners: ["22".repeat(32)] }, undefined],
    [{ mrenclaves: ["12".repeat(32)] }, "mrenclave/not_accepted"],
    [{ mrsigners: ["12".repeat(32)] }, "mrsigner/not_accepted"],
    [{ isvProdIds: [1] }, "isv_prod_id/not_accepted"],
    [{ minimumIsvSvn: 1 }, "isv_svn/isv_svn_too_low"],
    [{ configIds: ["01".repeat(64)] }, "config_id/not_accepted"],
    [{ fmspcs: ["00a0b1c2d3e4"] }, undefined],
    [{ fmspcs: ["00a0b1c2d3e5"] }, "platform/fmspc_not_accepted"],
    [{ minimumTcbEvaluationDataNumber: 18 }, undefined],
    [{ maxCollateralAgeSeconds: 86_400 }, undefined],
  ];
  for (const [policy, finding] of sgxCases) {
    const result = await appraiseIntel({ ...appraisalOf(SGX, sgx), policy });
    assertEquals(findings(result), finding === undefined ? [] : [finding]);
  }
  for (
    const policy of [{ minimumTcbEvaluationDataNumber: 19 }, { maxCollateralAgeSeconds: 86_399 }]
  ) {
    const result = await appraiseIntel({ ...appraisalOf(SGX, sgx), policy });
    const code = "maxCollateralAgeSeconds" in policy ? "too_old" : "tcb_evaluation_data_number";
    assertEquals(findings(result), [`qe_identity/${code}`, `tcb_info/${code}`]);
  }
  const tdx = await makePlatform(TDX);
  const tdxCases: readonly [policy: Record<string, unknown>, finding: string | undefined][] = [
    [
      { mrtds: ["55".repeat(48)], mrSeams: ["44".repeat(48)], xfams: ["e702060000000000"] },
      undefined,
    ],
    [{ mrtds: ["56".repeat(48)] }, "mrtd/not_accepted"],
    [{ rtmrs: { "2": ["56".repeat(48)] } }, "rtmr2/not_accepted"],
    [{ mrSeams: ["56".repeat(48)] }, "mr_seam/not_accepted"],
    [{ mrConfigIds: ["56".repeat(48)] }, "mr_config_id/not_accepted"],
    [{ mrOwners: ["56".repeat(48)] }, "mr_owner/not_accepted"],
    [{ mrOwnerConfigs: ["56".repeat(48)] }, "mr_owner_config/not_accepted"],
    [{ xfams: ["ffffffffffffffff"] }, "xfam/not_accepted"],
    [{ eventLog: "require" }, "event_log/event_log_missing"],
    [{ azureHcl: "require" }, "azure_hcl/hcl_report_missing"],
  ];
  for (const [policy, finding] of tdxCases) {
    const result = await appraiseIntel({ ...appraisalOf(TDX, tdx), policy });
    assertEquals(findings(result), finding === undefined ? [] : [finding]);
  }
});

Deno.test("appraise() affirms beyond the defaults only where the policy says so", async () => {
  const lenient: readonly [PlatformOptions, Record<string, unknown>][] = [
    [{ ...SGX, body: { 48: "07" } }, { allowDebug: true }],
    [{ ...TDX, body: { 120: "01" } }, { allowDebug: true }],
    [{ ...TDX, body: { 123: "00" } }, { requireSeptVeDisable: false }],
    [{ ...TDX, body: { 123: "30" } }, { tdAttributes: ["MIGRATABLE"] }],
    [{ ...TDX, body: { 600: "01" } }, { mrServiceTds: [`01${"00".repeat(47)}`] }],
    [{ ...SGX, qeIsvSvn: 5 }, { tcbStatuses: ["UpToDate", "OutOfDate"] }],
  ];
  for (const [options, policy] of lenient) {
    assertEquals(findings(await appraised(options, () => ({ policy }))), []);
  }
  const optional = { collateral: "if_given", crl: "if_given" };
  const bare = await appraised(TDX, () => ({ endorsements: [], policy: optional }));
  assertEquals(bare.tier, "affirming");
  const missing = bare.checks.filter(({ status }) => status === "missing");
  assert(missing.every(({ waived }) => waived === true));
  assert(missing.some(({ id }) => id === "tcb_status"), "what is missing is still said");
});

Deno.test("appraise() accepts advisories only as the policy lists them", async () => {
  const options: PlatformOptions = {
    ...SGX,
    tcbInfo: (info) => ({
      ...info,
      tcbLevels: [
        tcbLevel({ ...SGX, components: Array(16).fill(0), pceSvn: 0 }, "SWHardeningNeeded"),
      ],
    }),
  };
  const tcbStatuses = ["UpToDate", "SWHardeningNeeded"];
  const some = (acceptedAdvisories: unknown) =>
    appraised(options, () => ({ policy: { tcbStatuses, acceptedAdvisories } }));
  assertEquals(findings(await some("any")), []);
  assertEquals(findings(await some(["INTEL-SA-00001"])), []);
  assertEquals(findings(await some(["INTEL-SA-00002"])), ["advisories/advisory_not_accepted"]);
});

Deno.test("appraise() says TDRelaunchAdvised when the platform was updated under a running TD", async () => {
  const options: PlatformOptions = { ...TDX, body: { 0: "020105", 584: "030105" } };
  const result = await appraised(options);
  assertEquals(result.claims["tcb"] instanceof Object, true);
  const status = result.checks.find(({ id }) => id === "tcb_status");
  assertEquals(status?.value, "TDRelaunchAdvised");
  assertEquals(
    findings(await appraised(options, () => ({ policy: { tcbStatuses: ["TDRelaunchAdvised"] } }))),
    [],
  );
});

Deno.test("appraise() compares report data and nonce", async () => {
  for (const kind of [SGX, TDX]) {
    const right = new Uint8Array(64).fill(0x33);
    const wrong = new Uint8Array(64).fill(0x34);
    const tier = async (fields: Partial<IntelAppraisal>) =>
      (await appraised(kind, () => fields)).tier;
    assertEquals(await tier({ expectedReportData: right }), "affirming");
    assertEquals(await tier({ expectedReportData: wrong }), "contraindicated");
    assertEquals(await tier({ expectedNonce: right }), "affirming");
    assertEquals(await tier({ expectedNonce: right.subarray(0, 32) }), "contraindicated");
    assertEquals(await tier({ policy: { reportData: "require" } }), "warning");
  }
});

Deno.test("appraise() throws when the clock is no number: every date would pass", async () => {
  const platform = await makePlatform(SGX);
  for (const now of [NaN, Infinity]) {
    const error = await assertRejects(
      () => appraiseIntel({ ...appraisalOf(SGX, platform), now }),
      BackendError,
    );
    assertEquals(error.code, "config_invalid");
  }
});

Deno.test("appraise() minds broken collateral only where something is missing", async () => {
  const platform = await makePlatform(SGX);
  const { endorsements } = platform;
  const broken = {
    type: "broken",
    data: new TextEncoder().encode('{"tcbInfo":{},"signature":"00"}'),
  };
  const extra = await appraiseIntel({
    ...appraisalOf(SGX, platform),
    endorsements: [...endorsements, broken],
  });
  assertEquals(extra.tier, "affirming");
  assertEquals(extra.checks.find(({ id }) => id === "collateral")?.code, "malformed");
  const rest = endorsements.filter(({ type }) => type !== "tcbInfo");
  const missing = await appraiseIntel({
    ...appraisalOf(SGX, platform),
    endorsements: [...rest, broken],
  });
  assert(findings(missing).includes("collateral/malformed"));
  assertEquals(missing.tier, "contraindicated");
});
