/**
 * Keeps Leases and Node status as fresh as the heartbeats, at little cost: what a heartbeat changes
 * there waits for the next sweep and is written together with others. Nothing acknowledged is lost
 * with it, for the heartbeat itself is durable, and the next one writes again.
 */
import { DISK_PRESSURE, isUnderPressure, MEMORY_PRESSURE } from "./k8s/node_conditions.ts";
import { type Entry, factsOf, type Shown, unchanged } from "./worker_entry.ts";
import type { HeartbeatRecord } from "./worker_records.ts";
import type { WorkersOptions } from "./worker_types.ts";

export interface WorkerStatusWriter {
  /** The worker was heard of: what it said is shown by the next flush, where it is due. */
  note(entry: Entry): void;
  /** Writes what is due. One at a time: where one is under way, it does nothing. */
  flush(): Promise<void>;
}

/** Workers in one transaction. */
const BATCH = 128;
/** How often a Node that says nothing new is written, as kubelet's nodeStatusReportFrequency. */
const STATUS_INTERVAL_MS = 300_000;
/** Of the Lease's duration; kubelet renews at the same part of it. */
const RENEW_AT = 0.25;

export function createWorkerStatusWriter(
  { store, nodes, clock, heartbeatTimeoutMs }: WorkersOptions,
): WorkerStatusWriter {
  const noted = new Set<Entry>();
  const leaseSeconds = Math.ceil(heartbeatTimeoutMs / 1000);
  let flushing = false;

  /** What the worker's objects would say; undefined: they say it already, or it is not active. */
  function due(entry: Entry, now: number): Due | undefined {
    const { heartbeat, shown } = entry;
    if (entry.record.state !== "active" || heartbeat === undefined) return undefined;
    const next = shownBy(heartbeat, shown, now);
    const status = shown === undefined || now - shown.statusAtMs >= STATUS_INTERVAL_MS ||
      next.memoryPressure !== shown.memoryPressure ||
      next.diskPressure !== shown.diskPressure || next.capacity !== shown.capacity;
    const renewal = shown === undefined || now - shown.leaseAtMs >= heartbeatTimeoutMs * RENEW_AT;
    if (!status && !renewal) return undefined;
    return { entry, status, next: status ? next : { ...next, statusAtMs: shown.statusAtMs } };
  }

  /** @returns whether it was written; false: somebody changed one of the objects meanwhile. */
  async function write(batch: readonly Due[]): Promise<boolean> {
    const plans = await Promise.all(batch.map(async ({ entry, status }) => {
      // Taken together: a worker that is refused meanwhile must not be shown as active.
      const guard = unchanged(entry.record.node_id, entry.revision);
      const plan = await nodes.planRenewal(
        factsOf(entry.record, entry.heartbeat),
        leaseSeconds,
        status,
      );
      return { compare: [guard, ...plan.compare], operations: plan.operations };
    }));
    const response = await store.txn({
      compare: plans.flatMap(({ compare }) => compare),
      success: plans.flatMap(({ operations }) => operations),
      failure: [],
    });
    if (response.succeeded) { for (const { entry, next } of batch) entry.shown = next; }
    return response.succeeded;
  }

  return {
    note: (entry) => void noted.add(entry),
    async flush() {
      if (flushing) return;
      flushing = true;
      try {
        const now = clock();
        const waiting = [...noted].flatMap((entry) => due(entry, now) ?? []);
        noted.clear();
        for (let i = 0; i < waiting.length; i += BATCH) {
          const batch = waiting.slice(i, i + BATCH);
          if (await write(batch)) continue;
          for (const one of batch) {
            // Lost once more: the next flush looks at it again.
            if (!await write([one])) noted.add(one.entry);
          }
        }
      } finally {
        flushing = false;
      }
    },
  };
}

interface Due {
  readonly entry: Entry;
  readonly status: boolean;
  /** What is shown once it is written. */
  readonly next: Shown;
}

/** What Node and Lease say after they were written with this heartbeat. */
export function shownBy(
  { resource_usage: usage, capacity }: HeartbeatRecord,
  before: Shown | undefined,
  now: number,
): Shown {
  return {
    leaseAtMs: now,
    statusAtMs: now,
    memoryPressure: isUnderPressure(
      MEMORY_PRESSURE,
      before?.memoryPressure === true,
      usage.memory_percent,
    ),
    diskPressure: isUnderPressure(
      DISK_PRESSURE,
      before?.diskPressure === true,
      usage.disk_percent,
    ),
    capacity: capacity === undefined ? "" : JSON.stringify(capacity),
  };
}
