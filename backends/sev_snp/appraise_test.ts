import { assert, assertEquals } from "@std/assert";
import { pem } from "../../tests/pki/intel_der.ts";
import { makeKey } from "../../tests/pki/pki.ts";
import {
  CHIP_ID,
  type LeafSpec,
  type Line,
  makeAuthorities,
  makeLeaf,
  makeReport,
  makeSnpCrl,
  type ReportSpec,
  rootsOf,
  signReport,
  SNP_NOW,
  TEST_TCB,
  TURIN_TCB,
} from "../../tests/pki/snp.ts";
import type { AttestationResult } from "../appraisal.ts";
import { EVIDENCE_MEDIA_TYPE } from "../attestation.ts";
import type { Bytes, Endorsement } from "../mod.ts";
import { policyFromJson, sectionOf } from "../policy/mod.ts";
import { createWebCryptoVerifier } from "../signatures.ts";
import { X509Cache } from "../x509/mod.ts";
import { createSevSnpVerifier } from "./appraise.ts";

const signatures = createWebCryptoVerifier();

async function world(line: Line = "Milan") {
  const authorities = await makeAuthorities(line);
  const key = await makeKey("P-384");
  const verifier = createSevSnpVerifier({
    signatures,
    cache: new X509Cache(),
    roots: rootsOf(authorities),
  });
  const empty = new Uint8Array(0);

  async function appraise(
    change: {
      readonly report?: ReportSpec;
      readonly raw?: Bytes;
      readonly leaf?: LeafSpec;
      readonly endorsements?: readonly Endorsement[];
      readonly more?: readonly Endorsement[];
      readonly policy?: Record<string, unknown>;
      readonly now?: number;
      readonly nonce?: Bytes;
      readonly reportData?: Bytes;
    } = {},
  ): Promise<AttestationResult> {
    const data = change.raw ?? await makeReport(line, key, change.report);
    const policy = sectionOf(
      policyFromJson({
        version: 1,
        id: "test",
        sevSnp: {
          measurements: "any",
          minimumTcb: "any",
          crl: "if_given",
          reportData: "any",
          ...change.policy,
        },
      }),
      "sevSnp",
    );
    assert(policy !== undefined);
    const leaf = {
      type: (change.leaf?.kind ?? "VCEK").toLowerCase(),
      data: await makeLeaf(authorities, key, change.leaf),
    };
    return await verifier.appraise({
      evidence: { mediaType: EVIDENCE_MEDIA_TYPE.SEV, data, endorsements: [] },
      endorsements: [...change.endorsements ?? [leaf], ...change.more ?? []],
      expectedReportData: change.reportData ?? empty,
      expectedNonce: change.nonce,
      policy,
      now: change.now ?? SNP_NOW,
    });
  }
  return {
    authorities,
    key,
    appraise,
    leaf: (spec?: LeafSpec) => makeLeaf(authorities, key, spec),
  };
}

const found = (result: AttestationResult): string[] =>
  result.checks.filter(({ status, waived }) =>
    status === "fail" || (status === "missing" && waived !== true)
  )
    .map(({ id, code }) => `${id}:${code}`);

Deno.test("SEV-SNP verifier affirms a platform in order, of every line and version", async () => {
  for (const line of ["Milan", "Genoa", "Turin"] as const) {
    const { appraise } = await world(line);
    for (const version of [3, 4, 5, 6]) {
      const result = await appraise({ report: { version } });
      assertEquals([result.tier, ...found(result)], ["affirming"], `${line} version ${version}`);
    }
    assertEquals(found(await appraise({ report: { version: 2 } })), [], `${line} version 2`);
  }
});

Deno.test("SEV-SNP verifier refuses every changed field that must be as it is", async () => {
  const { appraise } = await world();
  const changes: readonly [(bytes: Bytes, view: DataView) => void, ...string[]][] = [
    [(_, view) => view.setUint32(0, 1, true), "report_version:unsupported_version"],
    [(_, view) => view.setUint32(0, 7, true), "report_version:unsupported_version"],
    [(_, view) => view.setBigUint64(8, 0x10000n, true), "guest_policy:policy_bit_17"],
    [(_, view) => view.setBigUint64(8, 0x30000n | (1n << 19n), true), "debug:debug_enabled"],
    [
      (_, view) => view.setBigUint64(8, 0x30000n | (1n << 18n), true),
      "migration_agent:migration_agent",
    ],
    [(_, view) => view.setBigUint64(8, 0x30000n | (1n << 21n), true), "cxl:cxl_allowed"],
    [(_, view) => view.setBigUint64(8, 0x30000n | (1n << 26n), true), "reserved:reserved_not_zero"],
    [(_, view) => view.setBigUint64(8, 0x30000n | (1n << 63n), true), "reserved:reserved_not_zero"],
    [(_, view) => view.setUint32(0x30, 1, true), "vmpl:vmpl_refused"],
    [(_, view) => view.setUint32(0x30, 0xffffffff, true), "vmpl:vmpl_refused"],
    [
      (_, view) => view.setUint32(0x34, 0, true),
      "signature_algorithm:unsupported_algorithm",
      "signature:bad_signature",
    ],
    [
      (_, view) => view.setUint32(0x34, 2, true),
      "signature_algorithm:unsupported_algorithm",
      "signature:bad_signature",
    ],
    [(_, view) => view.setUint32(0x48, 1 << 5, true), "reserved:reserved_not_zero"],
    [(_, view) => view.setUint32(0x48, 2, true), "signer:masked_chip_key"],
    [(_, view) => view.setUint32(0x48, 7 << 2, true), "signer:unsigned"],
    [(_, view) => view.setUint32(0x48, 3 << 2, true), "signer:reserved_signer"],
    [(_, view) => view.setUint32(0x48, 1 << 2, true), "leaf:wrong_leaf"],
    [(bytes) => bytes[0x1a0] = 0, "chip_id:chip_id_mismatch"],
    [(bytes) => bytes[0x1df] = 0, "chip_id:chip_id_mismatch"],
    [(bytes) => bytes[0x188] = 0x17, "product:unknown_product"],
    [(bytes) => bytes[0x189] = 0x50, "product:unknown_product"],
    [(bytes) => bytes[0x189] = 0x11, "product:product_mismatch"],
    [(bytes) => bytes[0x3a] = 1, "reserved:reserved_not_zero"],
    [(bytes) => bytes[0x184] = 1, "reserved:reserved_not_zero"],
    [(bytes) => bytes[0x180] = 3, "tcb_certificate:tcb_mismatch"],
    [(bytes) => bytes[0x186] = 23, "tcb_certificate:tcb_mismatch", "tcb_order:tcb_above_current"],
    [
      (bytes) => bytes[0x1e7] = 201,
      "tcb_order:tcb_above_current",
      "firmware_committed:provisional_firmware",
    ],
    [(bytes) => bytes[0x1e8] = 41, "firmware_committed:provisional_firmware"],
    [(bytes) => bytes[0x3f] = 201, "firmware_committed:provisional_firmware"],
  ];
  for (const [change, ...wanted] of changes) {
    assertEquals(
      found(await appraise({ report: { change } })).filter((item) =>
        item !== "certificate_chain:leaf_missing"
      ),
      wanted,
      String(change),
    );
  }
});

Deno.test("SEV-SNP verifier wants each must-be-zero range zero, by version", async () => {
  const { appraise } = await world();
  const ranges: readonly [version: number, offset: number, refused: boolean][] = [
    [2, 0x4c, true],
    [3, 0x4f, true],
    [2, 0x188, true],
    [2, 0x19f, true],
    [3, 0x18b, true],
    [3, 0x19f, true],
    [3, 0x1eb, true],
    [3, 0x1ef, true],
    [3, 0x1f8, true],
    [4, 0x200, true],
    [4, 0x29f, true],
    [5, 0x1f8, false],
    [5, 0x207, false],
    [5, 0x208, true],
    [5, 0x29f, true],
    [6, 0x208, false],
    [6, 0x4c, true],
  ];
  for (const [version, offset, refused] of ranges) {
    const result = await appraise({ report: { version, change: (bytes) => bytes[offset] = 1 } });
    assertEquals(
      found(result),
      refused ? ["reserved:reserved_not_zero"] : [],
      `version ${version}, 0x${offset.toString(16)}`,
    );
  }
});

Deno.test("SEV-SNP verifier lets no unsigned byte of a report be anything else", async () => {
  const { appraise, key } = await world();
  const good = await makeReport("Milan", key);
  for (let offset = 0x2a0; offset < good.length; offset += 1) {
    const raw = good.slice();
    raw[offset] = (raw[offset] ?? 0) ^ 1;
    const result = await appraise({ raw });
    assert(result.tier === "contraindicated", `byte 0x${offset.toString(16)} is free`);
  }
  for (const length of [0, 1, 671, 1183, 1185]) {
    const raw = new Uint8Array(length);
    raw.set(good.subarray(0, length));
    assertEquals(found(await appraise({ raw })), ["format:malformed"], `${length} bytes`);
  }
  // r and s must lie in 1..n-1.
  for (
    const [from, to, value] of [[0x2a0, 0x2d0, 0], [0x2e8, 0x318, 0], [0x2a0, 0x2d0, 0xff]] as const
  ) {
    assertEquals(found(await appraise({ raw: good.slice().fill(value, from, to) })), [
      "signature:bad_signature",
    ]);
  }
});

Deno.test("SEV-SNP verifier refuses every wrong leaf", async () => {
  const { appraise, authorities } = await world();
  const other = await world();
  const tries: readonly [LeafSpec, ...string[]][] = [
    [{ tcb: { ...TEST_TCB, bootloader: 3 } }, "tcb_certificate:tcb_mismatch"],
    [{ tcb: { ...TEST_TCB, tee: 1 } }, "tcb_certificate:tcb_mismatch"],
    [{ tcb: { ...TEST_TCB, snp: 23 } }, "tcb_certificate:tcb_mismatch"],
    [{ tcb: { ...TEST_TCB, microcode: 201 } }, "tcb_certificate:tcb_mismatch"],
    [{ hwId: CHIP_ID.toReversed() }, "chip_id:chip_id_mismatch"],
    [{ hwId: CHIP_ID.slice(0, 8) }, "chip_id:chip_id_mismatch"],
    [{ hwId: CHIP_ID.slice(0, 9) }, "leaf:malformed"],
    [{ productName: "Genoa" }, "product:product_mismatch"],
    [{ productName: "Naples" }, "product:unknown_product"],
    [{ notBefore: SNP_NOW + 1000 }, "certificate_chain:not_yet_valid"],
    [{ notAfter: SNP_NOW - 1000 }, "certificate_chain:expired"],
    [{ issuer: "SEV-Genoa" }, "certificate_chain:wrong_issuer"],
    [{ kind: "VLEK" }, "leaf:wrong_leaf"],
  ];
  for (const [leaf, ...wanted] of tries) {
    assertEquals(found(await appraise({ leaf })), wanted, JSON.stringify(leaf));
  }
  const strange = { type: "vcek", data: await other.leaf() };
  assertEquals(found(await appraise({ endorsements: [strange] })), [
    "certificate_chain:bad_signature",
    "signature:bad_signature",
  ]);
  assertEquals(found(await appraise({ endorsements: [] })), ["certificate_chain:leaf_missing"]);
  assertEquals(found(await appraise({ more: [strange] })), ["certificate_chain:ambiguous_leaf"]);
  assertEquals(
    found(
      await appraise({ endorsements: [{ type: "vcek", data: authorities.roots.ark.slice() }] }),
    ),
    ["certificate_chain:leaf_missing"],
  );
  assertEquals(
    found(await appraise({ endorsements: [{ type: "vcek", data: Uint8Array.of(1, 2, 3) }] })),
    ["certificates:malformed"],
  );
});

Deno.test("SEV-SNP verifier reads a VLEK, and the cloud it names", async () => {
  const { appraise } = await world();
  const report = {
    change: (bytes: Bytes, view: DataView) => {
      view.setUint32(0x48, 1 << 2, true);
      bytes.fill(0, 0x1a0, 0x1e0);
    },
  };
  const vlek = { report, leaf: { kind: "VLEK" } } as const;
  const result = await appraise(vlek);
  assertEquals([result.tier, ...found(result), result.claims["csp_id"]], [
    "affirming",
    "CN=cloud.example",
  ]);
  assertEquals(found(await appraise({ ...vlek, policy: { cspIds: ["CN=other.example"] } })), [
    "csp_id:csp_id_refused",
  ]);
  assertEquals(found(await appraise({ ...vlek, policy: { signers: ["VCEK"] } })), [
    "signer:signer_refused",
  ]);
  assertEquals(found(await appraise({ ...vlek, leaf: { kind: "VLEK", issuer: "SEV-Milan" } })), [
    "certificate_chain:wrong_issuer",
  ]);
});

Deno.test("SEV-SNP verifier wants supplied chains exact, in order, under the pinned root", async () => {
  const { appraise, authorities: { roots }, leaf } = await world();
  const stranger = await world();
  const own = await leaf();
  const file = (...ders: Uint8Array[]): Endorsement => ({
    type: "certificates",
    data: new TextEncoder().encode(ders.map((der) => pem("CERTIFICATE", der)).join("")),
  });
  const strange = stranger.authorities.roots;
  const tries: readonly [Endorsement[], ...string[]][] = [
    [[file(own), file(roots.ask, roots.ark)]],
    [[file(own, roots.ask, roots.ark)]],
    [[file(own, roots.ask)]],
    [[file(roots.ask), file(roots.ark), file(own)]],
    [[file(own), file(roots.ark, roots.ask)], "certificates:wrong_order"],
    [[file(roots.ask, own)], "certificates:wrong_order"],
    [[file(own, own)], "certificates:wrong_order"],
    [[file(own), file(roots.ask, roots.ask, roots.ark)], "certificates:wrong_order"],
    [[file(own), file(roots.asvk)], "certificates:unexpected_certificate"],
    [[file(own), file(roots.ask, strange.ark)], "certificate_chain:wrong_root"],
    [
      [file(own), file(strange.ask, strange.ark)],
      "certificate_chain:wrong_root",
      "certificate_chain:bad_signature",
      "certificate_chain:bad_signature",
    ],
    [[file(own), { type: "ark", data: roots.ask.slice() }], "certificates:wrong_certificate_type"],
    [[file(own), { type: "notes", data: own }], "certificates:unknown_endorsement"],
  ];
  for (const [endorsements, ...wanted] of tries) {
    assertEquals(found(await appraise({ endorsements })), wanted);
  }
  const extra = [file(own), file(roots.ark, roots.asvk, roots.ask)];
  assertEquals(found(await appraise({ endorsements: extra, policy: { certificates: "any" } })), []);
});

Deno.test("SEV-SNP verifier judges AMD's lists: missing, revoked, expired, not its own", async () => {
  const { appraise, authorities } = await world();
  const crl = async (
    ...input: Parameters<typeof makeSnpCrl> extends [unknown, ...infer Rest] ? Rest : never
  ) => ({
    type: "crl",
    data: await makeSnpCrl(authorities, ...input),
  });
  const demand = { policy: { crl: "require" } };
  const missing = await appraise(demand);
  assertEquals([missing.tier, ...found(missing)], ["warning", "crl:crl_missing"]);
  assertEquals(found(await appraise({ ...demand, more: [await crl([])] })), []);
  assertEquals(found(await appraise({ more: [await crl([authorities.askSerial])] })), [
    "certificate_chain:revoked",
  ]);
  assertEquals(found(await appraise({ more: [await crl([Uint8Array.of(0)], { by: "ask" })] })), [
    "certificate_chain:revoked",
  ]);
  assertEquals(
    found(await appraise({ ...demand, more: [await crl([], { nextUpdate: SNP_NOW - 1000 })] })),
    ["crl:crl_expired"],
  );
  assertEquals(
    found(await appraise({ ...demand, more: [await crl([], { thisUpdate: SNP_NOW + 1000 })] })),
    ["crl:crl_not_yet_valid"],
  );
  const foreign = { type: "crl", data: await makeSnpCrl((await world()).authorities, []) };
  assertEquals(found(await appraise({ ...demand, more: [foreign] })), ["crl:crl_bad_signature"]);
  const until = await appraise({ ...demand, more: [await crl([])] });
  assertEquals(until.expiresAt, SNP_NOW + 86_400_000);
});

Deno.test("SEV-SNP policy fields each refuse what they do not accept", async () => {
  const { appraise } = await world();
  const hex = (byte: number, length: number) => byte.toString(16).padStart(2, "0").repeat(length);
  const refused: readonly [Record<string, unknown>, string][] = [
    [{ measurements: [hex(0x22, 48)] }, "measurement:unknown_measurement"],
    [{ minimumTcb: { Milan: { snp: 23 } } }, "tcb_minimum:tcb_too_low"],
    [{ minimumTcb: { Genoa: { snp: 1 } } }, "tcb_minimum:no_minimum"],
    [{ minimumLaunchTcb: { Milan: { microcode: 255 } } }, "launch_tcb_minimum:tcb_too_low"],
    [{ products: ["Genoa", "Turin"] }, "product:product_refused"],
    [{ signers: ["VLEK"] }, "signer:signer_refused"],
    [{ chipIds: [hex(1, 64)] }, "chip:unknown_chip"],
    [{ vmpl: [1, 2] }, "vmpl:vmpl_refused"],
    [{ hostData: [hex(1, 32)] }, "host_data:unknown_host_data"],
    [{ idKeyDigests: [hex(1, 48)] }, "id_key:unknown_id_key"],
    [{ authorKeyDigests: [hex(0, 48)] }, "author_key:unknown_author_key"],
    [{ familyIds: [hex(1, 16)] }, "family_id:unknown_family_id"],
    [{ imageIds: [hex(1, 16)] }, "image_id:unknown_image_id"],
    [{ minimumGuestSvn: 1 }, "guest_svn:guest_svn_too_low"],
    [{ allowSmt: false }, "smt:smt_allowed"],
    [{ requireSingleSocket: true }, "single_socket:multi_socket"],
    [{ requireAes256Xts: true }, "aes_256_xts:aes_128"],
    [{ requireRaplDisabled: true }, "rapl:rapl_enabled"],
    [{ requireCiphertextHiding: true }, "ciphertext_hiding:ciphertext_visible"],
    [{ requirePageSwapDisabled: true }, "page_swap:page_swap"],
    [{ requiredPlatformInfo: ["alias_check_complete"] }, "platform_info:platform_refused"],
    [{ requiredMitigations: "0x1" }, "mitigations:no_mitigation_vector"],
    [{ reportData: "require" }, "report_data:not_expected"],
  ];
  for (const [policy, wanted] of refused) {
    const wants = policy["minimumTcb"] === undefined
      ? [wanted]
      : [wanted, wanted.replace("tcb_minimum", "launch_tcb_minimum")];
    assertEquals(found(await appraise({ policy })), wants, JSON.stringify(policy));
  }
  const accepted: readonly Record<string, unknown>[] = [
    {
      measurements: [hex(0x11, 48)],
      minimumTcb: { Milan: TEST_TCB },
      products: ["Milan"],
      chipIds: [CHIP_ID.toHex()],
    },
    { hostData: [hex(0, 32)], forbiddenPlatformInfo: ["smt_enabled"], minimumLaunchTcb: "any" },
  ];
  for (const policy of accepted) {
    assertEquals(found(await appraise({ policy })), [], JSON.stringify(policy));
  }
  const mitigations = { requiredMitigations: "0x5" };
  const vector = (launch: bigint, current: bigint) => ({
    version: 5,
    change: (_: Bytes, view: DataView) => {
      view.setBigUint64(0x1f8, launch, true);
      view.setBigUint64(0x200, current, true);
    },
  });
  assertEquals(found(await appraise({ policy: mitigations, report: vector(7n, 5n) })), []);
  assertEquals(found(await appraise({ policy: mitigations, report: vector(7n, 1n) })), [
    "mitigations:mitigations_missing",
  ]);
  assertEquals(found(await appraise({ policy: mitigations, report: vector(4n, 7n) })), [
    "mitigations:mitigations_missing",
  ]);
});

Deno.test("SEV-SNP report data must be the one expected, or the nonce padded with zeros", async () => {
  const { appraise } = await world();
  const data = Uint8Array.from({ length: 64 }, (_, i) => 0x80 + i);
  assertEquals(found(await appraise({ reportData: data })), []);
  assertEquals(found(await appraise({ reportData: data.toReversed() })), [
    "report_data:report_data_mismatch",
  ]);
  const nonce = data.slice(0, 32);
  assertEquals(found(await appraise({ nonce })), ["report_data:report_data_mismatch"]);
  const report = { change: (bytes: Bytes) => void bytes.fill(0, 0x50 + 32, 0x90) };
  assertEquals(found(await appraise({ nonce, report })), []);
  assertEquals(found(await appraise({ nonce: data.slice(0, 31), report })), [
    "report_data:report_data_mismatch",
  ]);
});

Deno.test("SEV-SNP provisional firmware, debug and migration pass only by the policy's word", async () => {
  const { appraise } = await world();
  const report = {
    committedTcb: { ...TEST_TCB, microcode: 190 },
    tcb: { ...TEST_TCB, microcode: 190 },
    currentTcb: TEST_TCB,
  };
  const leaf = { tcb: { ...TEST_TCB, microcode: 190 } };
  assertEquals(found(await appraise({ report, leaf })), [
    "firmware_committed:provisional_firmware",
  ]);
  assertEquals(
    found(await appraise({ report, leaf, policy: { allowProvisionalFirmware: true } })),
    [],
  );
  const open = {
    change: (_: Bytes, view: DataView) =>
      view.setBigUint64(8, 0x30000n | (3n << 18n) | (1n << 21n), true),
  };
  const result = await appraise({
    report: open,
    policy: { allowDebug: true, allowMigrationAgent: true, allowCxl: true },
  });
  assertEquals([result.tier, result.checks.find(({ id }) => id === "debug")?.value], [
    "affirming",
    "set, allowed by the policy",
  ]);
});

Deno.test("SEV-SNP Turin reads FMC and an 8-byte chip", async () => {
  const { appraise } = await world("Turin");
  assertEquals(found(await appraise({ leaf: { tcb: { ...TURIN_TCB, fmc: 2 } } })), [
    "tcb_certificate:tcb_mismatch",
  ]);
  const { fmc: _without, ...rest } = TURIN_TCB;
  assertEquals(found(await appraise({ leaf: { tcb: rest } })), ["tcb_certificate:tcb_mismatch"]);
  assertEquals(found(await appraise({ report: { change: (bytes) => bytes[0x1a8] = 1 } })), [
    "chip_id:chip_id_mismatch",
  ]);
  assertEquals(found(await appraise({ policy: { minimumTcb: { Turin: { fmc: 2 } } } })), [
    "tcb_minimum:tcb_too_low",
    "launch_tcb_minimum:tcb_too_low",
  ]);
});

Deno.test("SEV-SNP extended reports carry their certificates in a table, bounds-checked", async () => {
  const { appraise, key, leaf, authorities: { roots } } = await world();
  const report = await makeReport("Milan", key);
  const table = (
    entries: readonly [guid: string, data: Uint8Array][],
    change: (view: DataView) => void = () => {},
  ) => {
    const head = new Uint8Array((entries.length + 1) * 24);
    const view = new DataView(head.buffer);
    let offset = head.length;
    entries.forEach(([guid, data], i) => {
      head.set(Uint8Array.fromHex(guid), i * 24);
      view.setUint32(i * 24 + 16, offset, true);
      view.setUint32(i * 24 + 20, data.length, true);
      offset += data.length;
    });
    change(view);
    return Uint8Array.from([...report, ...head, ...entries.flatMap(([, data]) => [...data])]);
  };
  const [VCEK, ASK, ARK, OTHER] = [
    "63da758de6644564adc5f4b93be8accd",
    "4ab7b379bbac4fe4a02f05aef327c782",
    "c0b406a4a803495297433fb6014cd0ae",
    "00112233445566778899aabbccddeeff",
  ] as const;
  const entries: [string, Uint8Array][] = [
    [ARK, roots.ark],
    [VCEK, await leaf()],
    [ASK, roots.ask],
    [OTHER, Uint8Array.of(1)],
  ];
  assertEquals(found(await appraise({ raw: table(entries), endorsements: [] })), []);
  assertEquals(found(await appraise({ raw: table([[ASK, await leaf()]]), endorsements: [] })), [
    "certificates:wrong_certificate_type",
  ]);
  const broken: readonly ((view: DataView) => void)[] = [
    (view) => view.setUint32(16, 0xffffffff, true),
    (view) => view.setUint32(16, 0, true),
    (view) => view.setUint32(16, 5 * 24 - 1, true),
    (view) => view.setUint32(20, 0, true),
    (view) => view.setUint32(20, 0xffffffff, true),
    (view) => view.setUint32(3 * 24 + 20, 2, true),
    (view) => view.setUint32(4 * 24 + 16, 1, true),
    (view) => view.setUint8(4 * 24, 1),
  ];
  for (const change of broken) {
    assertEquals(found(await appraise({ raw: table(entries, change), endorsements: [] })), [
      "format:malformed",
    ], String(change));
  }
  // A length that is off by one cuts the certificate, or takes a byte of the next.
  for (const by of [-1, 1]) {
    const raw = table(entries, (view) => view.setUint32(20, roots.ark.length + by, true));
    assertEquals(found(await appraise({ raw, endorsements: [] })), ["certificates:malformed"]);
  }
});

Deno.test("SEV-SNP report signed by another key does not pass", async () => {
  const { appraise, key } = await world();
  const raw = await makeReport("Milan", key);
  await signReport(raw, await makeKey("P-384"));
  assertEquals(found(await appraise({ raw })), ["signature:bad_signature"]);
});
