/**
 * Evidence by report data: one request on its way for the same report data, and the last few answers
 * kept for a minute, because a security processor serves a whole host and may take ten seconds.
 * Who attests again after longer than that wants to know what is true now.
 */
import { BackendError } from "./errors.ts";
import type { Attester, Bytes, Evidence, TeeType } from "./mod.ts";

export const REPORT_DATA_LENGTH = 64;
const KEPT = 16;
const KEPT_MS = 60_000;

function copy(evidence: Evidence): Evidence {
  return {
    mediaType: evidence.mediaType,
    data: evidence.data.slice(),
    endorsements: evidence.endorsements.map(({ type, data }) => ({ type, data: data.slice() })),
  };
}

/**
 * @param make asks the TEE; called for at most one report data at a time per value
 */
export function createCachedAttester(options: {
  readonly kind: TeeType;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly make: (reportData: Bytes) => Promise<Evidence>;
  readonly assertOpen: () => void;
}): Attester {
  const { kind, clock } = options;
  const known = new Map<string, { readonly since: number; readonly evidence: Promise<Evidence> }>();
  return {
    async attest(reportData) {
      options.assertOpen();
      if (reportData.length !== REPORT_DATA_LENGTH) {
        throw new BackendError(
          "report_data_length",
          `report data is ${reportData.length} bytes, exactly ${REPORT_DATA_LENGTH} are wanted`,
          { kind },
        );
      }
      const key = reportData.toHex();
      const kept = known.get(key);
      const ageMs = kept === undefined ? Infinity : clock() - kept.since;
      let evidence = ageMs >= 0 && ageMs < KEPT_MS ? kept?.evidence : undefined;
      if (evidence === undefined) {
        const entry = { since: clock(), evidence: options.make(reportData.slice()) };
        evidence = entry.evidence;
        known.delete(key); // a renewed one is the youngest again
        known.set(key, entry);
        evidence.catch(() => {
          if (known.get(key) === entry) known.delete(key); // the next caller asks again
        });
        const [oldest] = known.keys();
        if (known.size > KEPT && oldest !== undefined) known.delete(oldest);
      }
      const answer = copy(await evidence);
      options.assertOpen();
      return answer;
    },
  };
}
