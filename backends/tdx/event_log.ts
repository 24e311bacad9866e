/** The confidential-computing event log (CCEL) that the firmware leaves in an ACPI table's data. */
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { MAX_CCEL_LENGTH } from "./ccel.ts";

/** The table's area is filled up with 0xff, often by hundreds of KiB; this much of it is kept. */
const FILLER_KEPT = 64;

/** The log without its filler, or undefined where the firmware left none. @throws {BackendError} `io` */
export async function readEventLog(path: string): Promise<Bytes | undefined> {
  let log: Bytes;
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_CCEL_LENGTH) throw new RangeError(`${size} bytes, ${MAX_CCEL_LENGTH} at most`);
    log = await Deno.readFile(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new BackendError("io", `cannot read the event log ${path}`, {
      kind: "TDX",
      cause,
      hint: "the table belongs to root; eventLog names another path, or one that is not there",
    });
  }
  let end = log.length;
  while (end > 0 && log[end - 1] === 0xff) end--;
  return log.slice(0, Math.min(log.length, end + FILLER_KEPT));
}
