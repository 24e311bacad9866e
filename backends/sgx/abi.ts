/** SGX evidence: a DCAP quote whose body is an enclave report. Pure. */
import { BackendError } from "../errors.ts";
import {
  decodeEnclaveReport,
  type EnclaveReport,
  enclaveReportClaims,
} from "../dcap/enclave_report.ts";
import { type DcapQuote, decodeQuote } from "../dcap/quote.ts";

export interface SgxQuote extends DcapQuote {
  readonly tee: "SGX";
  readonly report: EnclaveReport;
}

/**
 * Decodes an SGX quote: version 3, and versions 4 and 5 with an enclave report inside.
 * @throws {BackendError} `malformed`, also for a TDX quote.
 */
export function decodeSgxQuote(bytes: Uint8Array): SgxQuote {
  const quote = decodeQuote(bytes);
  if (quote.tee !== "SGX") {
    throw new BackendError("malformed", "quote: this is a TDX quote, not an SGX quote", {
      kind: "SGX",
      hint: "verify it as TDX",
    });
  }
  return { ...quote, tee: "SGX", report: decodeEnclaveReport(quote.body) };
}

/** The enclave's facts by field name. */
export function sgxReportClaims(quote: SgxQuote): Readonly<Record<string, unknown>> {
  return enclaveReportClaims(quote.report);
}
