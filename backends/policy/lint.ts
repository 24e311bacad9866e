/** What a policy leaves open, said before anybody relies on it. */
import type { Policy } from "./mod.ts";

export interface LintFinding {
  /** `open`: lets in what most would not want. `note`: worth knowing. */
  readonly level: "open" | "note";
  readonly field: string;
  readonly text: string;
}

/** Everything the policy excuses; an empty list is a strict policy. */
export function lintPolicy(policy: Policy): LintFinding[] {
  const out: LintFinding[] = [];
  const open = (condition: boolean, field: string, text: string) => {
    if (condition) out.push({ level: "open", field, text });
  };
  const note = (condition: boolean, field: string, text: string) => {
    if (condition) out.push({ level: "note", field, text });
  };
  const { node, sections: { sevSnp, sgx, tdx, nitro, trustzone, simulation } } = policy;
  const families = Object.entries(policy.sections).filter(([, section]) => section !== undefined);
  open(families.length === 0, "top level", "no TEE section: every evidence is refused");
  open(node.covers.includes("helper"), "node.covers", "helper: the running master is not measured");
  open(node.covers.includes("none"), "node.covers", "none: nothing is measured");
  open(
    node.allowNonceless,
    "node.allowNonceless",
    `replays are accepted for ${node.maxAgeSeconds} s`,
  );
  open(
    node.successors === "any",
    "node.successors",
    "whatever an admin of the node authorised may open its store next",
  );
  note(
    node.configDigests === "any",
    "node.configDigests",
    "the node's configuration is not judged",
  );
  if (sevSnp !== undefined) {
    open(sevSnp.measurements === "any", "sevSnp.measurements", "any guest image is accepted");
    open(
      sevSnp.minimumTcb === "any",
      "sevSnp.minimumTcb",
      "any firmware, also with known holes, is accepted",
    );
    open(
      sevSnp.minimumLaunchTcb === "any",
      "sevSnp.minimumLaunchTcb",
      "a guest launched on any firmware is accepted",
    );
    open(sevSnp.allowDebug, "sevSnp.allowDebug", "the host may read and write the guest's memory");
    open(
      sevSnp.allowMigrationAgent,
      "sevSnp.allowMigrationAgent",
      "a migration agent holds the guest's state",
    );
    open(
      sevSnp.allowProvisionalFirmware,
      "sevSnp.allowProvisionalFirmware",
      "firmware can be rolled back below what runs",
    );
    open(sevSnp.reportData === "any", "sevSnp.reportData", "replayed reports are accepted");
    open(
      sevSnp.crl === "if_given",
      "sevSnp.crl",
      "revoked AMD authorities pass when no list is given",
    );
    note(
      sevSnp.vmpl.some((level) => level !== 0),
      "sevSnp.vmpl",
      "code at VMPL 0 below the guest is trusted too",
    );
    note(
      sevSnp.certificates === "any",
      "sevSnp.certificates",
      "superfluous certificates are ignored",
    );
  }
  for (const [name, section] of [["sgx", sgx], ["tdx", tdx]] as const) {
    if (section === undefined) continue;
    open(section.allowDebug, `${name}.allowDebug`, "the host may read and write its memory");
    open(
      section.collateral === "if_given",
      `${name}.collateral`,
      "the platform's patch state is not known without collateral",
    );
    open(section.crl === "if_given", `${name}.crl`, "revoked platforms pass when no list is given");
    open(section.reportData === "any", `${name}.reportData`, "replayed quotes are accepted");
    open(
      section.tcbStatuses.some((s) => s.startsWith("OutOfDate")),
      `${name}.tcbStatuses`,
      "platforms with known holes are accepted",
    );
  }
  if (sgx !== undefined) {
    open(
      sgx.mrenclaves === "any" && sgx.mrsigners === "any",
      "sgx.mrenclaves",
      "any enclave of anybody is accepted",
    );
    note(
      sgx.mrenclaves === "any" && sgx.mrsigners !== "any" && sgx.minimumIsvSvn === 0,
      "sgx.minimumIsvSvn",
      "old enclaves of the signer pass",
    );
  }
  if (tdx !== undefined) {
    open(tdx.mrtds === "any", "tdx.mrtds", "any TD image is accepted");
    open(
      tdx.rtmrs === "any",
      "tdx.rtmrs",
      "kernel, command line and what is loaded later are not judged",
    );
    open(
      !tdx.requireSeptVeDisable,
      "tdx.requireSeptVeDisable",
      "the host may make private pages vanish unnoticed",
    );
  }
  if (nitro !== undefined) {
    const pcrs = nitro.pcrs;
    open(
      pcrs === "any" || pcrs["0"] === undefined || pcrs["0"] === "any",
      "nitro.pcrs",
      "any enclave image is accepted (PCR0)",
    );
    open(
      nitro.allowDebug,
      "nitro.allowDebug",
      "the host reads the enclave's console; PCRs are zero",
    );
    open(
      nitro.reportData === "any" && nitro.maxAgeSeconds === "any",
      "nitro.maxAgeSeconds",
      "replayed documents are accepted without end",
    );
    note(
      nitro.reportData === "any",
      "nitro.reportData",
      "nothing ties the document to your request",
    );
  }
  if (trustzone !== undefined) {
    open(
      trustzone.allowAnyDigest,
      "trustzone.allowAnyDigest",
      "any code of the device is accepted",
    );
    if (trustzone.ta !== undefined) {
      const { measurements, platform } = trustzone.ta;
      open(measurements === "any", "trustzone.ta.measurements", "any code of the TA is accepted");
      note(
        platform !== "require",
        "trustzone.ta.platform",
        "what the TA is, only the TA says: whoever can sign TAs for the device can say the same",
      );
    }
    note(
      true,
      "trustzone.keys",
      "a pinned key is only as good as the way it was read off the device",
    );
  }
  open(
    simulation !== undefined && simulation.allowSimulation,
    "simulation.allowSimulation",
    "the simulation protects nothing",
  );
  return out;
}
