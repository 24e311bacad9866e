/** The sample plugin's evidence (sample.c): report data, measurement, a MAC under a key of ones. */
import { createHmac } from "node:crypto";
import { lengthPrefixed } from "../../../backends/attestation.ts";
import { BackendError, type Bytes, type TeeBackend } from "../../../backends/mod.ts";

export function isSampleEvidence(data: Bytes): boolean {
  const signed = new Uint8Array(lengthPrefixed(data.subarray(0, 112)));
  signed.subarray(0, 4).reverse(); // the sample writes lengths little-endian
  const mac = createHmac("sha256", new Uint8Array(32).fill(1)).update(signed).digest();
  return mac.equals(data.subarray(112));
}

/** What a master under this test's root asks of the sample before it touches a key. */
export async function appraiseSample(
  tee: TeeBackend,
  random: (length: number) => Bytes,
): Promise<void> {
  const reportData = random(64);
  const evidence = await tee.attester?.attest(reportData);
  if (
    evidence === undefined || !isSampleEvidence(evidence.data) ||
    evidence.data.subarray(0, 64).toHex() !== reportData.toHex()
  ) throw new BackendError("not_genuine", "this is not the sample plugin", { kind: tee.kind });
}
