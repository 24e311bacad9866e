/** A report's decoded fields, as an attestation result shows them. */
import type { HclReport } from "../azure_hcl.ts";
import { firmwareString, type SnpReport, tcbVersion } from "./abi.ts";
import type { VerifiedReport } from "./verify.ts";

const decoder = new TextDecoder();

/** Byte strings in hex, 64-bit integers as 0x…, TCBs by component. */
export function snpClaims(
  report: SnpReport,
  { product, claims, leaf }: Omit<VerifiedReport, "expiresAt">,
  hcl: HclReport | undefined,
): Record<string, unknown> {
  const tcb = (raw: SnpReport["reportedTcb"]) => {
    if (product === undefined) return raw.toHex();
    const { fmc, bootloader, tee, snp, microcode } = tcbVersion(raw, product.layout);
    return { ...(fmc === undefined ? {} : { fmc }), bootloader, tee, snp, microcode };
  };
  const { policy } = report;
  return {
    version: report.version,
    guest_svn: report.guestSvn,
    policy: `0x${policy.raw.toString(16)}`,
    policy_abi: `${policy.abiMajor}.${policy.abiMinor}`,
    policy_debug: policy.debug,
    policy_migrate_ma: policy.migrationAgent,
    policy_smt: policy.smt,
    policy_single_socket: policy.singleSocket,
    policy_cxl: policy.cxl,
    policy_memaes256xts: policy.aes256Xts,
    policy_rapl_dis: policy.raplDisabled,
    policy_ciphertext_hiding: policy.ciphertextHiding,
    policy_page_swap_disable: policy.pageSwapDisabled,
    family_id: report.familyId.toHex(),
    image_id: report.imageId.toHex(),
    vmpl: report.vmpl,
    sig_algo: report.signatureAlgorithm,
    current_tcb: tcb(report.currentTcb),
    platform_info: `0x${report.platformInfo.toString(16)}`,
    signing_key: report.signingKey,
    author_key_en: report.authorKeyEnabled,
    mask_chip_key: report.maskChipKey,
    report_data: report.reportData.toHex(),
    measurement: report.measurement.toHex(),
    host_data: report.hostData.toHex(),
    id_key_digest: report.idKeyDigest.toHex(),
    author_key_digest: report.authorKeyDigest.toHex(),
    report_id: report.reportId.toHex(),
    report_id_ma: report.reportIdMa.toHex(),
    reported_tcb: tcb(report.reportedTcb),
    ...(report.cpuid === undefined ? {} : { cpuid: report.cpuid }),
    ...(product === undefined ? {} : { product: product.name }),
    chip_id: report.chipId.toHex(),
    committed_tcb: tcb(report.committedTcb),
    current_fw: firmwareString(report.currentFirmware),
    committed_fw: firmwareString(report.committedFirmware),
    launch_tcb: tcb(report.launchTcb),
    ...(report.launchMitigations === undefined || report.currentMitigations === undefined ? {} : {
      launch_mit_vector: `0x${report.launchMitigations.toString(16)}`,
      current_mit_vector: `0x${report.currentMitigations.toString(16)}`,
    }),
    ...(leaf === undefined ? {} : { leaf_sha256: leaf.fingerprint }),
    ...(claims === undefined ? {} : { leaf_product_name: claims.productName }),
    ...(claims?.cspId === undefined ? {} : { csp_id: claims.cspId }),
    ...(hcl === undefined ? {} : { azure_runtime_claims: decoder.decode(hcl.claims) }),
  };
}
