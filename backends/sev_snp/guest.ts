/** What a report says of the guest and the platform, against a policy. */
import type { CheckList } from "../appraisal.ts";
import { accepts } from "../policy/schema.ts";
import { PLATFORM_INFO_BITS, type SevSnpSection } from "../policy/sev_snp.ts";
import type { SnpReport } from "./abi.ts";

/** Adds the checks of the guest, its privilege level, its owners, and the platform. */
export function checkGuest(report: SnpReport, section: SevSnpSection, list: CheckList): void {
  const { policy } = report;
  const allowed = (id: string, set: boolean, allow: boolean, code: string, text: string) => {
    if (set && allow) list.pass(id, "set, allowed by the policy");
    else list.expect(!set, id, code, text, set ? "set" : "clear");
  };
  const demanded = (id: string, set: boolean, demand: boolean, code: string, text: string) => {
    if (demand) list.expect(set, id, code, text, set ? "set" : "clear");
  };
  list.expect(
    accepts(section.measurements, report.measurement.toHex()),
    "measurement",
    "unknown_measurement",
    "the policy does not list this launch measurement",
    report.measurement.toHex(),
  );
  allowed(
    "debug",
    policy.debug,
    section.allowDebug,
    "debug_enabled",
    "the host may debug this guest (policy bit 19)",
  );
  allowed(
    "migration_agent",
    policy.migrationAgent,
    section.allowMigrationAgent,
    "migration_agent",
    "a migration agent may be bound to this guest (policy bit 18)",
  );
  allowed(
    "smt",
    policy.smt,
    section.allowSmt,
    "smt_allowed",
    "the guest may share cores through SMT (policy bit 16)",
  );
  allowed(
    "cxl",
    policy.cxl,
    section.allowCxl,
    "cxl_allowed",
    "CXL memory may be in use (policy bit 21)",
  );
  demanded(
    "single_socket",
    policy.singleSocket,
    section.requireSingleSocket,
    "multi_socket",
    "the guest may run on several sockets",
  );
  demanded(
    "aes_256_xts",
    policy.aes256Xts,
    section.requireAes256Xts,
    "aes_128",
    "memory encryption is not held to AES-256-XTS",
  );
  demanded(
    "rapl",
    policy.raplDisabled,
    section.requireRaplDisabled,
    "rapl_enabled",
    "power readings (RAPL) may be on",
  );
  demanded(
    "ciphertext_hiding",
    policy.ciphertextHiding,
    section.requireCiphertextHiding,
    "ciphertext_visible",
    "ciphertext hiding is not demanded by the guest",
  );
  demanded(
    "page_swap",
    policy.pageSwapDisabled,
    section.requirePageSwapDisabled,
    "page_swap",
    "the host may swap guest pages",
  );
  list.expect(
    section.vmpl.includes(report.vmpl),
    "vmpl",
    "vmpl_refused",
    `the policy accepts VMPL ${section.vmpl.join(", ")}`,
    String(report.vmpl),
  );
  const listed = (
    id: string,
    accepted: "any" | readonly string[],
    value: string,
    code: string,
    text: string,
  ) => {
    if (accepted !== "any") list.expect(accepted.includes(value), id, code, text, value);
  };
  listed(
    "host_data",
    section.hostData,
    report.hostData.toHex(),
    "unknown_host_data",
    "the policy does not list this host data",
  );
  listed(
    "id_key",
    section.idKeyDigests,
    report.idKeyDigest.toHex(),
    "unknown_id_key",
    "the policy does not list this ID key",
  );
  const author = report.authorKeyEnabled ? report.authorKeyDigest.toHex() : "";
  listed(
    "author_key",
    section.authorKeyDigests,
    author,
    "unknown_author_key",
    "the policy does not list this author key, or there is none",
  );
  listed(
    "family_id",
    section.familyIds,
    report.familyId.toHex(),
    "unknown_family_id",
    "the policy does not list this family id",
  );
  listed(
    "image_id",
    section.imageIds,
    report.imageId.toHex(),
    "unknown_image_id",
    "the policy does not list this image id",
  );
  listed(
    "chip",
    section.chipIds,
    report.chipId.toHex(),
    "unknown_chip",
    "the policy does not list this chip",
  );
  if (section.minimumGuestSvn > 0) {
    list.expect(
      report.guestSvn >= section.minimumGuestSvn,
      "guest_svn",
      "guest_svn_too_low",
      `at least ${section.minimumGuestSvn} is wanted`,
      String(report.guestSvn),
    );
  }
  checkPlatform(report, section, list);
}

function checkPlatform(report: SnpReport, section: SevSnpSection, list: CheckList): void {
  const isSet = (name: keyof typeof PLATFORM_INFO_BITS) =>
    ((report.platformInfo >> BigInt(PLATFORM_INFO_BITS[name])) & 1n) === 1n;
  const value = `0x${report.platformInfo.toString(16)}`;
  const missing = section.requiredPlatformInfo.filter((name) => !isSet(name));
  const present = section.forbiddenPlatformInfo.filter(isSet);
  if (section.requiredPlatformInfo.length + section.forbiddenPlatformInfo.length > 0) {
    const text = `wanted: ${missing.join(", ") || "nothing"}; not wanted: ${
      present.join(", ") || "nothing"
    }`;
    list.expect(
      missing.length + present.length === 0,
      "platform_info",
      "platform_refused",
      text,
      value,
    );
  }
  if (section.requiredMitigations === "none") return;
  const wanted = BigInt(section.requiredMitigations);
  const { currentMitigations, launchMitigations } = report;
  if (currentMitigations === undefined || launchMitigations === undefined) {
    list.fail(
      "mitigations",
      "no_mitigation_vector",
      "reports below version 5 carry no mitigation vector",
      String(report.version),
    );
    return;
  }
  list.expect(
    (currentMitigations & launchMitigations & wanted) === wanted,
    "mitigations",
    "mitigations_missing",
    `${section.requiredMitigations} must be set at launch and now`,
    `0x${launchMitigations.toString(16)}, 0x${currentMitigations.toString(16)}`,
  );
}
