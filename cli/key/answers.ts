/** What the master tells of its key ring (`/api/v1/admin/keys`), decoded, and as text. */
import * as v from "valibot";
import { mebibytes } from "../progress.ts";

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const ROTATION = v.object({
  phase: v.picklist(["idle", "starting", "records", "checkpoint", "finishing"]),
  active_key: count,
  records_done: count,
  records_total: count,
  bytes_done: count,
  elapsed_ms: count,
});
export type RotationAnswer = v.InferOutput<typeof ROTATION>;

const WRAP = v.variant("type", [
  v.object({ type: v.literal("sealer"), policy: v.string() }),
  v.object({ type: v.literal("recovery"), recipient: v.string() }),
  v.object({ type: v.literal("successor"), measurement: v.string() }),
]);
type Wrap = v.InferOutput<typeof WRAP>;

export const KEYS = v.object({
  store_id: v.string(),
  key_ring_version: count,
  wraps: v.array(WRAP),
  data_keys: v.array(v.object({
    id: count,
    state: v.picklist(["active", "retired"]),
    uses: count,
  })),
  data_key_limit: count,
  record_key: v.object({ uses: count, limit: count }),
  rotation: ROTATION,
});
export type KeysAnswer = v.InferOutput<typeof KEYS>;

/** For `nautilus key status`. */
export function keysText(keys: KeysAnswer): string {
  const { rotation, record_key: recordKey } = keys;
  const isRecoverable = keys.wraps.some(({ type }) => type === "recovery");
  const retired = keys.data_keys.filter(({ state }) => state === "retired");
  return [
    `store            ${keys.store_id}`,
    `key ring         version ${keys.key_ring_version}`,
    ...keys.wraps.map((wrap) => `KEK wrapped by   ${wrapText(wrap)}`),
    ...(isRecoverable
      ? []
      : ["recovery         none: without this TEE the store cannot be opened again"]),
    ...keys.data_keys.map(({ id, state, uses }) =>
      `data key ${String(id).padEnd(8)}${state}, sealed ${uses} records at most`
    ),
    `record key       sealed ${recordKey.uses} records; the next at ${recordKey.limit}`,
    `rotation         ${
      rotation.phase !== "idle"
        ? rotationText(rotation)
        : retired.length > 0
        ? "not at its end; the running master goes on with it"
        : `none under way; by itself at ${keys.data_key_limit} records of a data key`
    }`,
    "",
  ].join("\n");
}

function wrapText(wrap: Wrap): string {
  switch (wrap.type) {
    case "sealer":
      return `the TEE's sealer, policy ${wrap.policy}`;
    case "recovery":
      return `recovery key ${wrap.recipient}`;
    case "successor":
      return `SUCCESSOR: program ${wrap.measurement} may open the store next`;
  }
}

/** "records 1200 of 5000 (24 %), 12.5 MiB, 8.1 MiB/s, about 7 s left" */
export function rotationText(rotation: RotationAnswer): string {
  const { phase, records_done: done, records_total: total } = rotation;
  if (phase !== "records") return PHASES[phase];
  const seconds = rotation.elapsed_ms / 1000;
  const percent = total === 0 ? 100 : Math.floor(done / total * 100);
  const parts = [`records ${done} of ${total} (${percent} %)`, mebibytes(rotation.bytes_done)];
  if (done > 0 && seconds >= 1) {
    parts.push(`${mebibytes(rotation.bytes_done / seconds)}/s`);
    parts.push(`about ${duration(Math.max(0, total - done) / done * seconds)} left`);
  }
  return parts.join(", ");
}

const PHASES = {
  idle: "no rotation is under way",
  starting: "a new data key is made",
  records: "records are sealed anew",
  checkpoint: "the index checkpoint is sealed anew",
  finishing: "the former data keys are destroyed",
} as const;

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
