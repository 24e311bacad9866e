/** SGX evidence: what is true of it, without any policy. */
import type { Bytes } from "../mod.ts";
import type { DcapCollateral } from "../dcap/collateral.ts";
import type { DcapContext } from "../dcap/context.ts";
import { type DcapFacts, verifyDcap } from "../dcap/verify.ts";
import { decodeSgxQuote, type SgxQuote } from "./abi.ts";

export interface SgxVerified {
  readonly quote: SgxQuote;
  readonly facts: DcapFacts;
}

/**
 * Decodes a quote and verifies its signatures against the collateral.
 * @param now milliseconds since the epoch.
 * @throws {BackendError} `malformed` when the bytes are no SGX quote.
 */
export async function verifySgxQuote(
  bytes: Bytes,
  collateral: DcapCollateral,
  context: DcapContext,
  now: number,
): Promise<SgxVerified> {
  const quote = decodeSgxQuote(bytes);
  const facts = await verifyDcap({ quote, tdx: undefined, collateral, context, now });
  return { quote, facts };
}
