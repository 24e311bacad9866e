/** The policy section of AMD SEV-SNP. */
import * as v from "valibot";
import { anyOrList, Byte, Demand, hex, ReportDataDemand, unsigned } from "./schema.ts";

/** Bergamo and Siena share one CPUID model range: naming either means both. */
export const SevSnpProduct = v.picklist(["Milan", "Genoa", "Bergamo", "Siena", "Turin"]);
export type SevSnpProduct = v.InferOutput<typeof SevSnpProduct>;

/** Components of a TCB; `fmc` exists from Turin on. A component that is left out is not looked at. */
const Tcb = v.pipe(
  v.strictObject({
    fmc: v.optional(Byte),
    bootloader: v.optional(Byte),
    tee: v.optional(Byte),
    snp: v.optional(Byte),
    microcode: v.optional(Byte),
  }),
  v.check((tcb) => Object.keys(tcb).length > 0, "must name at least one component"),
);
const TcbByProduct = v.strictObject({
  Milan: v.optional(Tcb),
  Genoa: v.optional(Tcb),
  Bergamo: v.optional(Tcb),
  Siena: v.optional(Tcb),
  Turin: v.optional(Tcb),
});
export type TcbMinimum = v.InferOutput<typeof Tcb>;
export type TcbByProduct = v.InferOutput<typeof TcbByProduct>;

/** Bits of PLATFORM_INFO by name (SEV-SNP firmware ABI, ATTESTATION_REPORT). */
export const PLATFORM_INFO_BITS = {
  smt_enabled: 0,
  tsme_enabled: 1,
  ecc_enabled: 2,
  rapl_disabled: 3,
  ciphertext_hiding_dram: 4,
  alias_check_complete: 5,
  tio_enabled: 7,
} as const;
const PlatformBit = v.picklist([
  "smt_enabled",
  "tsme_enabled",
  "ecc_enabled",
  "rapl_disabled",
  "ciphertext_hiding_dram",
  "alias_check_complete",
  "tio_enabled",
]);

export const SevSnpSection = v.strictObject({
  measurements: anyOrList(hex(48)),
  /** For the reported and the committed TCB. A product that is not listed has no minimum and does not pass. */
  minimumTcb: v.union([v.literal("any"), TcbByProduct]),
  /** For the TCB at launch; `same`: as minimumTcb. */
  minimumLaunchTcb: v.optional(v.union([v.picklist(["same", "any"]), TcbByProduct]), "same"),
  products: v.optional(v.pipe(v.array(SevSnpProduct), v.minLength(1)), [
    "Milan",
    "Genoa",
    "Bergamo",
    "Siena",
    "Turin",
  ]),
  signers: v.optional(v.pipe(v.array(v.picklist(["VCEK", "VLEK"])), v.minLength(1)), [
    "VCEK",
    "VLEK",
  ]),
  /** The cloud named in a VLEK. */
  cspIds: v.optional(anyOrList(v.string()), "any"),
  chipIds: v.optional(anyOrList(hex(64)), "any"),
  vmpl: v.optional(v.pipe(v.array(unsigned(3)), v.minLength(1)), [0]),
  hostData: v.optional(anyOrList(hex(32)), "any"),
  idKeyDigests: v.optional(anyOrList(hex(48)), "any"),
  authorKeyDigests: v.optional(anyOrList(hex(48)), "any"),
  familyIds: v.optional(anyOrList(hex(16)), "any"),
  imageIds: v.optional(anyOrList(hex(16)), "any"),
  minimumGuestSvn: v.optional(unsigned(0xffffffff), 0),
  allowDebug: v.optional(v.boolean(), false),
  allowMigrationAgent: v.optional(v.boolean(), false),
  allowSmt: v.optional(v.boolean(), true),
  allowCxl: v.optional(v.boolean(), false),
  requireSingleSocket: v.optional(v.boolean(), false),
  requireAes256Xts: v.optional(v.boolean(), false),
  requireRaplDisabled: v.optional(v.boolean(), false),
  requireCiphertextHiding: v.optional(v.boolean(), false),
  requirePageSwapDisabled: v.optional(v.boolean(), false),
  /** Firmware that runs but is not committed can be rolled back. */
  allowProvisionalFirmware: v.optional(v.boolean(), false),
  requiredPlatformInfo: v.optional(v.array(PlatformBit), []),
  forbiddenPlatformInfo: v.optional(v.array(PlatformBit), []),
  /** Bits that CURRENT_MIT_VECTOR and LAUNCH_MIT_VECTOR must both have; reports below version 5 carry none. */
  requiredMitigations: v.optional(
    v.union([v.literal("none"), v.pipe(v.string(), v.regex(/^0x[0-9a-f]{1,16}$/))]),
    "none",
  ),
  /** AMD's list of revoked ASK and ASVK, and any other list of an issuer in the chain. */
  crl: v.optional(Demand, "require"),
  /** `exact`: supplied certificates must be the chain and no more, a file's chain in AMD's order. */
  certificates: v.optional(v.picklist(["exact", "any"]), "exact"),
  reportData: v.optional(ReportDataDemand, "require"),
});
export type SevSnpSection = v.InferOutput<typeof SevSnpSection>;
