/**
 * TEE backends: what a trusted execution environment offers the master, behind one interface.
 *
 * Terms are those of RFC 9334 (attester, evidence, endorsement, verifier, appraisal policy,
 * attestation result). This folder knows nothing of the store, the API or the chain.
 */

/** A byte string that WebCrypto and FFI accept without a copy. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** The `tee_type` on the wire. */
export type TeeType = "SGX" | "SEV" | "TrustZone" | "TDX" | "NITRO" | "SIMULATION";

/** `security_level` on the wire: SGX 3, SEV 2, TrustZone 2, TDX 3, NITRO 3, SIMULATION 1. */
export type SecurityLevel = 1 | 2 | 3;

/**
 * What the measurement stands for: this `program` and all it loads; a launch `image` that must
 * itself be measured and locked; only a key `helper`, the running master is not covered; `none`.
 */
export type Covers = "program" | "image" | "helper" | "none";

/** What a sealing key is bound to: the exact measurement, or whoever signed the code. */
export type SealPolicy = "measurement" | "signer";

/** One thing looked at while probing, for people: a path, a library, a CPU flag. */
export interface ProbeSignal {
  readonly name: string;
  readonly present: boolean;
  readonly detail?: string;
}

/** Whether a TEE is there, with the reason either way. Probing has no side effects. */
export type ProbeResult =
  & { readonly signals: readonly ProbeSignal[]; readonly reason: string }
  & ({ readonly available: true } | { readonly available: false; readonly hint?: string });

/** Makes one kind of backend. Stateless; listed in the explicit registry. */
export interface BackendFactory {
  readonly kind: TeeType;
  readonly securityLevel: SecurityLevel;
  /** Looks for guest signals only; never opens a device for writing, never throws. */
  probe(): Promise<ProbeResult>;
  /** @throws {BackendError} when the TEE cannot be opened; the config is checked strictly. */
  open(config: unknown): Promise<TeeBackend>;
}

/** An opened TEE. Every method after disposal throws `BackendError` with code `closed`. */
export interface TeeBackend extends AsyncDisposable {
  readonly kind: TeeType;
  readonly securityLevel: SecurityLevel;
  readonly covers: Covers;
  /** The measurement as the hardware reports it (SGX 32 bytes, the others 48). Stable while open. */
  measurement(): Promise<Bytes>;
  /** Undefined where the hardware has no sealing key (TDX, Nitro). */
  readonly sealer: Sealer | undefined;
  readonly attester: Attester | undefined;
  readonly counter: MonotonicCounter | undefined;
}

/** Opaque and self-describing; see sealing.ts for the bytes. */
export type SealedBlob = Bytes;

/** Encrypts to this TEE. The blob names its policy and is bound to `aad`. */
export interface Sealer {
  readonly policies: readonly SealPolicy[];
  /** @throws {BackendError} `policy_unsupported` where the hardware cannot honour the policy. */
  seal(plaintext: Bytes, policy: SealPolicy, aad: Bytes): Promise<SealedBlob>;
  /**
   * @throws {BackendError} `measurement_mismatch`, `foreign_device`, `tampered` (also: other aad),
   * `malformed`, each saying what was expected and what was found.
   */
  unseal(blob: SealedBlob, aad: Bytes): Promise<Bytes>;
  /**
   * Seals under policy `measurement` to another program on this device: what a planned upgrade needs.
   * Undefined where the hardware makes keys for the running measurement alone (SGX, SEV-SNP).
   * @throws {BackendError} `malformed`: no measurement of this kind
   */
  sealFor?(plaintext: Bytes, measurement: Bytes, aad: Bytes): Promise<SealedBlob>;
}

/** Endorsement handed along with evidence, such as a VCEK certificate (DER). */
export interface Endorsement {
  readonly type: string;
  readonly data: Bytes;
}

/** Evidence in the vendor's own bytes. Media types are listed in attestation.ts. */
export interface Evidence {
  readonly mediaType: string;
  readonly data: Bytes;
  readonly endorsements: readonly Endorsement[];
}

export interface Attester {
  /** @param reportData exactly 64 bytes, found again inside the evidence. */
  attest(reportData: Bytes): Promise<Evidence>;
}

/** A counter that the host cannot turn back. */
export interface MonotonicCounter {
  read(): Promise<bigint>;
  /** Compare-and-set by one. @throws {BackendError} `counter_conflict` if it is not `expected`. */
  increment(expected: bigint): Promise<bigint>;
}

export * from "./errors.ts";
export * from "./registry.ts";
