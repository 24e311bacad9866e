/** TDX evidence: what is true of it, without any policy. */
import { bindsClaims, type HclReport, looksLikeHcl, parseHclReport } from "../azure_hcl.ts";
import type { DcapCollateral } from "../dcap/collateral.ts";
import type { DcapContext } from "../dcap/context.ts";
import { equalBytes } from "../dcap/reader.ts";
import { type DcapFacts, verifyDcap } from "../dcap/verify.ts";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { decodeTdxQuote, type TdxQuote } from "./abi.ts";
import { decodeEventLog, looksLikeEventLog, replayEventLog } from "./ccel.ts";

export interface EventLogFacts {
  readonly source: string;
  readonly eventCount: number;
  /** Indices of the registers that the log does not lead to. */
  readonly mismatches: readonly number[];
  /** Set instead when the log cannot be read. */
  readonly problem: string | undefined;
}

export interface HclFacts {
  readonly source: string;
  readonly report: HclReport | undefined;
  /** The quote's report data is the digest of the runtime claims. */
  readonly bound: boolean;
  readonly problem: string | undefined;
}

export interface TdxVerified {
  readonly quote: TdxQuote;
  readonly facts: DcapFacts;
  readonly eventLogs: readonly EventLogFacts[];
  readonly hclReports: readonly HclFacts[];
}

/**
 * Decodes a quote, verifies its signatures against the collateral, and compares event logs and HCL
 * reports that were given beside it.
 * @param now milliseconds since the epoch.
 * @throws {BackendError} `malformed` when the bytes are no TDX quote.
 */
export async function verifyTdxQuote(
  bytes: Bytes,
  collateral: DcapCollateral,
  context: DcapContext,
  now: number,
): Promise<TdxVerified> {
  const quote = decodeTdxQuote(bytes);
  const facts = await verifyDcap({ quote, tdx: quote.report, collateral, context, now });
  return {
    quote,
    facts,
    eventLogs: collateral.others.filter(({ data }) => looksLikeEventLog(data)).map((item) =>
      compareEventLog(item, quote)
    ),
    hclReports: collateral.others.filter(({ data }) => looksLikeHcl(data)).map((item) =>
      compareHcl(item, quote)
    ),
  };
}

function compareEventLog(
  { source, data }: { source: string; data: Bytes },
  { report }: TdxQuote,
): EventLogFacts {
  try {
    const log = decodeEventLog(data);
    const registers = replayEventLog(log);
    const mismatches = report.rtmrs.flatMap((rtmr, index) =>
      equalBytes(rtmr, registers[index] ?? new Uint8Array()) ? [] : [index]
    );
    return { source, eventCount: log.events.length, mismatches, problem: undefined };
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { source, eventCount: 0, mismatches: [], problem: error.message };
  }
}

function compareHcl(
  { source, data }: { source: string; data: Bytes },
  { report }: TdxQuote,
): HclFacts {
  try {
    const hcl = parseHclReport(data);
    if (hcl.hardware !== "tdx") {
      throw new BackendError("malformed", "the HCL report holds no TDX report", { kind: "TDX" });
    }
    const bound = bindsClaims(report.reportData, hcl);
    return { source, report: hcl, bound, problem: undefined };
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { source, report: undefined, bound: false, problem: error.message };
  }
}
