/** What a backend's conformance test brings to the suite (backend_suite.ts). */
import type { AttestationResult } from "../../backends/appraisal.ts";
import type { Bytes, Evidence, SealPolicy, TeeBackend } from "../../backends/mod.ts";

export interface OpenOptions {
  /** `other`: the same program on another machine. */
  readonly device?: "this" | "other";
  /** `other`: another program (image, TA) on the same machine. */
  readonly program?: "this" | "other";
}

/** One implementation under test; made anew for every test and disposed after it. */
export interface BackendHarness extends AsyncDisposable {
  /** Opening twice with the same options is a restart on the same machine. */
  open(options?: OpenOptions): Promise<TeeBackend>;
  /** The 64 bytes of report data inside evidence. */
  reportDataOf(evidence: Evidence): Bytes;
  /** Appraises as a relying party that trusts this harness's root and nothing else. */
  appraise(evidence: Evidence, expectedReportData: Bytes): Promise<AttestationResult>;
}

export interface SuiteOptions {
  readonly measurementLength: number;
  /** Policies that the hardware honours; empty: it has no sealing key. */
  readonly policies: readonly SealPolicy[];
  /** Whether the hardware counts. */
  readonly counter: boolean;
  /** Why the suite cannot run on this machine at all; every case then stands skipped with it. */
  readonly unavailable?: string;
  readonly skip?: readonly { readonly reason: string; readonly tests: readonly string[] }[];
}
