/**
 * Evidence by report data: one request on its way for the same report data, and the last few answers
 * kept, because a security processor serves a whole host and may take ten seconds.
 */
import { BackendError } from "./errors.ts";
import type { Attester, Bytes, Evidence, TeeType } from "./mod.ts";

export const REPORT_DATA_LENGTH = 64;

function copy(evidence: Evidence): Evidence {
  return {
    mediaType: evidence.mediaType,
    data: evidence.data.slice(),
    endorsements: evidence.endorsements.map(({ type, data }) => ({ type, data: data.slice() })),
  };
}

/**
 * @param make asks the TEE; called for at most one report data at a time per value
 * @param capacity how many answers are kept
 */
export function createCachedAttester(options: {
  readonly kind: TeeType;
  readonly capacity: number;
  readonly make: (reportData: Bytes) => Promise<Evidence>;
  readonly assertOpen: () => void;
}): Attester {
  const { kind, capacity } = options;
  const known = new Map<string, Promise<Evidence>>();
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
      let evidence = known.get(key);
      if (evidence === undefined) {
        evidence = options.make(reportData.slice());
        known.set(key, evidence);
        evidence.catch(() => known.delete(key)); // the next caller asks again
        const [oldest] = known.keys();
        if (known.size > capacity && oldest !== undefined) known.delete(oldest);
      }
      const answer = copy(await evidence);
      options.assertOpen();
      return answer;
    },
  };
}
