/** What the status page says, as text by name: only what `/health` and the attestation tell anybody. */
import type { ApiDeps } from "../deps.ts";
import { healthDocument } from "../routes/health.ts";

/** Values that change while the page is open; the page has an element for each. */
export interface LiveStatus {
  readonly status: "healthy" | "degraded" | "failed";
  readonly problems: string;
  readonly sequence: string;
  readonly digest: string;
  readonly records: string;
  readonly rollback: string;
  readonly chain: string;
  readonly chainDetail: string;
  readonly chainEvents: string;
  readonly chainLast: string;
  readonly active: string;
  readonly ready: string;
  readonly lost: string;
  readonly refused: string;
  readonly time: string;
}

export function liveStatus(deps: ApiDeps): LiveStatus {
  const health = healthDocument(deps);
  const head = deps.store.head();
  const chain = deps.chain.status();
  const workers = deps.workers.counts();
  return {
    status: health.status,
    problems: health.problems.join("; "),
    sequence: head.sequence.toString(),
    digest: head.digest.toHex().slice(0, 24),
    records: deps.store.stats().liveRecords.toString(),
    rollback: health.anchored_sequence === null || health.rollback_protection === "none"
      ? health.rollback_protection
      : `${health.rollback_protection}, anchored at ${health.anchored_sequence}`,
    chain: chain.state,
    chainDetail: chain.detail,
    chainEvents: String(chain.eventsApplied),
    chainLast: chain.lastEventAt === undefined ? "none yet" : time(chain.lastEventAt),
    active: String(workers.active),
    ready: String(workers.ready),
    lost: String(workers.lost),
    refused: String(workers.refused),
    time: time(deps.clock()),
  };
}

function time(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ") + " UTC";
}

/** What a measurement of this kind stands for, in a sentence (docs/THREAT-MODEL.md). */
export const COVERS_TEXT = {
  program: "The measurement covers this program and all that it loads.",
  image: "The measurement covers a launch image, which must itself be measured and locked.",
  helper: "Only a key helper is inside: keys are protected at rest, the running master is not.",
  none: "Nothing is measured by hardware.",
} as const;

export const ROLLBACK_TEXT = {
  none: "An older copy of the data directory would open.",
  accident: "An older copy is noticed, unless the host turns the anchor back with it.",
  host: "Not even the host can bring an older store back.",
} as const;
