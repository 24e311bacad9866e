/**
 * The simulated monotonic counter: `<data dir>/simulation/counter`, u64 big-endian and its
 * HMAC-SHA-256 under a key of the device. It lies beside the store: whoever puts the data directory
 * back turns it back, too. It tells a store file put back alone, and protects against nothing more
 * (`rollback_protection: none`).
 */
import { createHmac, timingSafeEqual } from "node:crypto";
import { BackendError } from "../errors.ts";
import type { Bytes, MonotonicCounter } from "../mod.ts";
import { readPrivateFile, replaceFile } from "./state.ts";

const NAME = "counter";
const LENGTH = 40;

/**
 * @param key 32 bytes, derived from the sealing root for this alone; kept, not copied.
 * @param assertOpen throws `closed` once the backend is.
 */
export function createFileCounter(
  folder: string,
  key: Bytes,
  assertOpen: () => void,
): MonotonicCounter {
  const path = `${folder}/${NAME}`;
  let tail: Promise<unknown> = Promise.resolve();

  function encode(value: bigint): Bytes {
    const out = new Uint8Array(LENGTH);
    new DataView(out.buffer).setBigUint64(0, value);
    out.set(createHmac("sha256", key).update(out.subarray(0, 8)).digest(), 8);
    return out;
  }

  async function load(): Promise<bigint> {
    const stored = await readPrivateFile(path, 4096);
    if (stored === undefined) return 0n;
    const value = stored.length === LENGTH
      ? new DataView(stored.buffer).getBigUint64(0)
      : undefined;
    if (value === undefined || !timingSafeEqual(stored, encode(value))) {
      throw new BackendError("tampered", `${path} was altered, or is another device's`, {
        kind: "SIMULATION",
        hint: "restore the file from a backup",
      });
    }
    return value;
  }

  /** One at a time here, and by flock(2) among processes that share the folder. */
  function alone<T>(job: () => Promise<T>): Promise<T> {
    const run = tail.then(async () => {
      assertOpen();
      using lock = await Deno.open(`${path}.lock`, { write: true, create: true, mode: 0o600 });
      await lock.lock(true);
      return await job();
    });
    tail = run.catch(() => undefined); // the caller has the failure; the next in line goes on
    return run;
  }

  return {
    async read() {
      assertOpen();
      return await load();
    },
    increment(expected) {
      return alone(async () => {
        const current = await load();
        if (current !== expected) {
          throw new BackendError(
            "counter_conflict",
            `the counter stands at ${current}, not at ${expected}`,
            { kind: "SIMULATION", hint: "another master advanced it, or this is an older copy" },
          );
        }
        await replaceFile(folder, NAME, encode(current + 1n));
        return current + 1n;
      });
    },
  };
}
