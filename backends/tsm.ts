/**
 * Reports by configfs-tsm (Linux >= 6.7), the same for SEV-SNP and TDX guests. Every request has a
 * folder of its own, so that no two ever share an `inblob`; `generation` tells of anybody who
 * writes into it all the same.
 */
import { BackendError } from "./errors.ts";
import { errnoName } from "./ffi/errno.ts";
import type { Bytes, TeeType } from "./mod.ts";

export interface TsmReport {
  readonly outblob: Bytes;
  /** Certificates and the like; empty where the provider gives none. */
  readonly auxblob: Bytes;
}

export interface TsmClient {
  /**
   * @param inblob 64 bytes
   * @param privilegeLevel VMPL, for providers that have one
   */
  report(inblob: Bytes, privilegeLevel?: number): Promise<TsmReport>;
}

export interface TsmOptions {
  readonly kind: TeeType;
  /** The folder `report` of configfs-tsm. */
  readonly path: string;
  /** `sev_guest` or `tdx_guest`: another provider's blobs are another TEE's. */
  readonly provider: string;
  readonly random: (length: number) => Bytes;
}

/** Longest blob read, bytes: quotes are 5-8 KiB, certificate tables 16 KiB. */
const MAX_BLOB_LENGTH = 128 * 1024;

/** The errno inside an error of Deno's file functions, or undefined. */
function errnoOf(error: unknown): number | undefined {
  const match = error instanceof Error ? /\(os error (\d+)\)/.exec(error.message) : null;
  return match === null ? undefined : Number(match[1]);
}

const HINTS: Readonly<Record<string, string>> = {
  ENXIO: "no provider: load the guest's driver (sev-guest or tdx-guest)",
  ENODEV: "no provider: load the guest's driver (sev-guest or tdx-guest)",
  EINVAL: "the provider refuses the request: is the VMPL below the guest's?",
  ENOENT: "mount configfs: mount -t configfs none /sys/kernel/config",
  EACCES: "configfs belongs to root: run as root, or give the master's user the folder",
  EPERM: "configfs belongs to root: run as root, or give the master's user the folder",
};

/** Reads all of a small file; its size says nothing. */
async function readBlob(path: string): Promise<Bytes> {
  using file = await Deno.open(path, { read: true });
  const buffer = new Uint8Array(MAX_BLOB_LENGTH + 1);
  let length = 0;
  while (length < buffer.length) {
    const count = await file.read(buffer.subarray(length));
    if (count === null) break;
    length += count;
  }
  if (length > MAX_BLOB_LENGTH) throw new RangeError(`${path} is longer than ${MAX_BLOB_LENGTH}`);
  return buffer.slice(0, length);
}

/** One write and one close: `inblob` takes effect at the close. */
async function writeBlob(path: string, data: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true });
  const count = await file.write(data);
  if (count !== data.length) throw new RangeError(`${path} took ${count} of ${data.length} bytes`);
}

/** A client of the configfs-tsm below `path`. Opens nothing and makes nothing until asked. */
export function createTsmClient(options: TsmOptions): TsmClient {
  const { kind, path } = options;

  function failure(step: string, cause: unknown): BackendError {
    if (cause instanceof BackendError) return cause;
    const errno = errnoOf(cause);
    const name = errno === undefined ? undefined : errnoName(errno);
    const code = name === "EBUSY" || name === "ETIMEDOUT" || name === "EAGAIN"
      ? "throttled"
      : name === "ENXIO" || name === "ENODEV" || name === "ENOTTY"
      ? "device_lost"
      : name === "ENOENT" || name === "EACCES" || name === "EPERM"
      ? "unavailable"
      : "io";
    const hint = name === undefined ? undefined : HINTS[name];
    return new BackendError(code, `configfs-tsm, ${step}: ${name ?? String(cause)}`, {
      kind,
      cause,
      ...(errno === undefined || name === undefined
        ? {}
        : { nativeStatus: { name, value: errno } }),
      ...(hint === undefined ? {} : { hint }),
    });
  }

  return {
    async report(inblob, privilegeLevel) {
      const entry = `${path}/nautilus-${options.random(16).toHex()}`;
      let step = "making an entry";
      try {
        await Deno.mkdir(entry);
        try {
          step = "reading provider";
          const provider = new TextDecoder().decode(await readBlob(`${entry}/provider`)).trim();
          if (provider !== options.provider) {
            throw new BackendError(
              "unavailable",
              `configfs-tsm reports for ${provider}, not for ${options.provider}`,
              { kind, hint: "this is another kind of TEE; `nautilus detect` says which" },
            );
          }
          if (privilegeLevel !== undefined) {
            step = "writing privlevel";
            const text = new TextEncoder().encode(String(privilegeLevel));
            await writeBlob(`${entry}/privlevel`, text);
          }
          step = "writing inblob";
          await writeBlob(`${entry}/inblob`, inblob);
          step = "reading generation";
          const before = await readBlob(`${entry}/generation`);
          step = "reading outblob";
          const outblob = await readBlob(`${entry}/outblob`);
          step = "reading auxblob";
          const auxblob = await readBlob(`${entry}/auxblob`);
          step = "reading generation";
          const after = await readBlob(`${entry}/generation`);
          if (before.toHex() !== after.toHex()) {
            throw new BackendError("io", "configfs-tsm: somebody else wrote into our request", {
              kind,
              hint: "nobody but the master should write below /sys/kernel/config/tsm/report",
            });
          }
          return { outblob, auxblob };
        } finally {
          await Deno.remove(entry);
        }
      } catch (cause) {
        throw failure(step, cause);
      }
    },
  };
}
