/** The policy section of AWS Nitro Enclaves. */
import * as v from "valibot";
import { anyOrList, Demand, hex, PositiveSeconds, ReportDataDemand, unsigned } from "./schema.ts";

const PcrIndex = v.pipe(
  v.string(),
  v.regex(/^(?:[0-9]|[12][0-9]|3[01])$/, "must be a PCR number, 0 to 31"),
);

export const NitroSection = v.strictObject({
  /** By number. 0, 1, 2 are the image, kernel and application; 3 the IAM role; 4 the instance; 8 the signer. */
  pcrs: v.union([
    v.literal("any"),
    v.pipe(
      v.record(PcrIndex, anyOrList(hex(48))),
      v.check(
        (pcrs) => Object.keys(pcrs).length > 0,
        'must list at least one PCR; to accept every value write "any"',
      ),
    ),
  ]),
  /** Debug enclaves carry zeros in PCR0, 1 and 2: their memory and console are the host's. */
  allowDebug: v.optional(v.boolean(), false),
  moduleIds: v.optional(anyOrList(v.string()), "any"),
  /** Age of the document's own timestamp. */
  maxAgeSeconds: v.optional(v.union([v.literal("any"), PositiveSeconds]), 300),
  /** How far the document's clock may be ahead. */
  clockSkewSeconds: v.optional(unsigned(3600), 60),
  /** AWS's own verification procedure does not look at revocation lists. */
  crl: v.optional(Demand, "if_given"),
  reportData: v.optional(ReportDataDemand, "require"),
});
export type NitroSection = v.InferOutput<typeof NitroSection>;
