/**
 * After a restore or a recovery the stored cursor may stand before events that were executed already,
 * and nothing here can tell. Requests of the chain are held until the operator has decided; what takes
 * rights away (a slashed worker, a revoked token) is applied in any case: twice does no harm.
 */
import * as v from "valibot";
import type { Store } from "../store/mod.ts";
import type { ChainDelivery } from "../sui/events.ts";

/** `skip`: up to the chain's tip at the decision no request is executed. `apply`: each one is, again. */
export const REPLAY_DECISIONS = ["skip", "apply"] as const;
export type ReplayDecision = (typeof REPLAY_DECISIONS)[number];

const KEY = new TextEncoder().encode("/chain/replay");
const STORED = v.strictObject({
  v: v.literal(1),
  /** Hex: the incarnation that the restore or recovery began. */
  incarnation: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  reason: v.picklist(["restore", "recover"]),
  time_ms: v.pipe(v.number(), v.safeInteger()),
  decision: v.nullable(v.picklist(REPLAY_DECISIONS)),
  /** Decimal: the last checkpoint whose requests are skipped; null before the chain has answered. */
  until: v.nullable(v.pipe(v.string(), v.regex(/^\d{1,20}$/))),
});
type Stored = v.InferOutput<typeof STORED>;

/** A request that waits for the operator's decision. */
export class ReplayHeld extends Error {
  override readonly name = "ReplayHeld";
  readonly code = "replay_held";
  readonly hint = "start the master once with --replay-events=skip or --replay-events=apply";
}

/** A decision that contradicts the one that stands. */
export class ReplayDecided extends Error {
  override readonly name = "ReplayDecided";
  readonly code = "replay_decided";
}

export interface ReplayGate {
  /** For people, where something is held or skipped. */
  readonly notice: string | undefined;
  /** Whether requests wait for the operator's decision. */
  readonly isHeld: boolean;
  /** What is to be done with an event. @throws {ReplayHeld} */
  admit(delivery: Pick<ChainDelivery, "event" | "checkpoint">): "execute" | "skip";
  /** Called with the chain's tip before events are read. */
  reached(checkpoint: bigint): Promise<void>;
}

/**
 * @param decision as the operator gave it at this start; undefined: as it was
 * @throws {ReplayDecided} where another one was given before; {StoreError}
 */
export async function openReplayGate(
  store: Store,
  decision: ReplayDecision | undefined,
): Promise<ReplayGate> {
  let stored = await read(store);
  const restoration = store.restoration();
  if (restoration !== undefined && restoration.incarnation.toHex() !== stored?.incarnation) {
    const { incarnation, reason, timeMs } = restoration;
    stored = {
      v: 1,
      incarnation: incarnation.toHex(),
      reason,
      time_ms: timeMs,
      decision: decision ?? null,
      until: null,
    };
    await write(store, stored);
  } else if (stored !== undefined && stored.decision === null && decision !== undefined) {
    stored = { ...stored, decision };
    await write(store, stored);
  } else if (stored !== undefined && decision !== undefined && stored.decision !== decision) {
    throw new ReplayDecided(
      `--replay-events=${decision}: for this ${stored.reason} it was decided already: ${stored.decision}`,
    );
  }
  let until = stored?.until === undefined || stored.until === null
    ? undefined
    : BigInt(stored.until);
  return {
    notice: noticeOf(stored, until),
    isHeld: stored?.decision === null,
    admit({ event, checkpoint }) {
      if (event.kind !== "k8s_request" || stored === undefined) return "execute";
      if (stored.decision === null) throw new ReplayHeld(noticeOf(stored, until));
      if (stored.decision === "apply") return "execute";
      return until === undefined || checkpoint <= until ? "skip" : "execute";
    },
    async reached(checkpoint) {
      if (stored?.decision !== "skip" || until !== undefined) return;
      const next = { ...stored, until: checkpoint.toString() };
      await write(store, next);
      stored = next;
      until = checkpoint;
    },
  };
}

function noticeOf(stored: Stored | undefined, until: bigint | undefined): string | undefined {
  if (stored === undefined || stored.decision === "apply") return undefined;
  const what = `${stored.reason === "restore" ? "restored" : "recovered"} at ${
    new Date(stored.time_ms).toISOString()
  }`;
  if (stored.decision === null) {
    return `this store was ${what}: requests of the chain are held, because they may have been ` +
      "executed before; start once with --replay-events=skip or --replay-events=apply";
  }
  return `this store was ${what}: requests of the chain up to ` +
    `${until === undefined ? "its tip" : `checkpoint ${until}`} are skipped`;
}

async function read(store: Store): Promise<Stored | undefined> {
  const [kv] = (await store.range("system", { key: KEY })).kvs;
  // Our own bytes, authenticated by the store.
  return kv === undefined ? undefined : v.parse(
    STORED,
    JSON.parse(new TextDecoder().decode(kv.value)),
  );
}

async function write(store: Store, stored: Stored): Promise<void> {
  const value = new TextEncoder().encode(JSON.stringify(stored));
  await store.txn({
    compare: [],
    success: [{ type: "put", keyspace: "system", key: KEY, value }],
    failure: [],
  });
}
