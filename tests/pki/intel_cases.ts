/** Platforms of the test hierarchy, appraised: as they are, or with one thing changed. */
import { decodeQuote } from "../../backends/dcap/quote.ts";
import type { AttestationResult } from "../../backends/appraisal.ts";
import type { Bytes } from "../../backends/mod.ts";
import { appraiseIntel, type IntelAppraisal } from "./intel_appraise.ts";
import { concat } from "./intel_der.ts";
import { makePlatform, type Platform, type PlatformOptions, TEST_NOW } from "./intel_platform.ts";

export const DAY_MS = 86_400_000;
export const SGX: PlatformOptions = { tee: "SGX", quoteVersion: 3, bodyType: 1 };
export const TDX: PlatformOptions = { tee: "TDX", quoteVersion: 5, bodyType: 3 };
export const KINDS: readonly PlatformOptions[] = [
  SGX,
  { tee: "SGX", quoteVersion: 4, bodyType: 1 },
  { tee: "SGX", quoteVersion: 5, bodyType: 1 },
  { tee: "TDX", quoteVersion: 4, bodyType: 2 },
  { tee: "TDX", quoteVersion: 5, bodyType: 2 },
  TDX,
];

export function appraisalOf(options: PlatformOptions, platform: Platform): IntelAppraisal {
  const { quote, endorsements, pki } = platform;
  return { tee: options.tee, quote, endorsements, now: TEST_NOW, root: pki.root };
}

export async function appraised(
  options: PlatformOptions,
  change: (platform: Platform) => Partial<IntelAppraisal> | Promise<Partial<IntelAppraisal>> =
    () => ({}),
): Promise<AttestationResult> {
  const platform = await makePlatform(options);
  return await appraiseIntel({ ...appraisalOf(options, platform), ...await change(platform) });
}

/** Endorsements with some items replaced by name, or dropped. */
export function replaced(
  { endorsements }: Platform,
  items: Readonly<Record<string, Bytes | undefined>>,
): Pick<IntelAppraisal, "endorsements"> {
  return {
    endorsements: endorsements.flatMap(({ type, data }) => {
      if (!(type in items)) return [{ type, data }];
      const item = items[type];
      return item === undefined ? [] : [{ type, data: item }];
    }),
  };
}

/** The quote with another chain in it and every length corrected. */
export function withPckChain({ quote, pckChain }: Platform, chain: Bytes): Bytes {
  const at = quote.length - pckChain.length;
  const out = concat(quote.subarray(0, at), chain);
  const view = new DataView(out.buffer);
  const difference = chain.length - pckChain.length;
  const add = (offset: number) =>
    view.setUint32(offset, view.getUint32(offset, true) + difference, true);
  const version = view.getUint16(0, true);
  const bodyEnd = decodeQuote(quote).signedBytes.length;
  add(at - 4);
  add(bodyEnd);
  if (version !== 3) add(bodyEnd + 4 + 128 + 2);
  return out;
}
