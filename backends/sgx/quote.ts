/** A quote as our own enclave asked for it. */
import type { EnclaveReport } from "../dcap/enclave_report.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { decodeSgxQuote } from "./abi.ts";

/** @throws {BackendError} `malformed` for what is no quote, or carries other report data. */
export function checkedSgxQuote(bytes: Bytes, reportData: Bytes): EnclaveReport {
  const { report } = decodeSgxQuote(bytes);
  if (report.reportData.toHex() === reportData.toHex()) return report;
  throw new BackendError("malformed", "the quote carries other report data than was asked for", {
    kind: "SGX",
    hint: "nothing else in the enclave should write /dev/attestation/user_report_data",
  });
}
