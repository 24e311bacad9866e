/**
 * What the simulation keeps on disk: `<data dir>/simulation/sealing_root`, 32 random bytes, 0600.
 * Everything else (sealing keys, the development root, attestation keys) is derived from it, so one
 * file is the device, and another file is another device.
 */
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";

export const ROOT_LENGTH = 32;
const ROOT_NAME = "sealing_root";

function io(what: string, cause: unknown): BackendError {
  return new BackendError("io", `the simulation cannot ${what}`, {
    kind: "SIMULATION",
    cause,
    hint: "check the owner, the permissions and the free space of the data directory",
  });
}

/** Makes a rename or a link in `folder` durable. */
async function syncFolder(folder: string): Promise<void> {
  using handle = await Deno.open(folder, { read: true });
  await handle.sync();
}

async function writeAll(file: Deno.FsFile, data: Bytes): Promise<void> {
  for (let offset = 0; offset < data.length;) offset += await file.write(data.subarray(offset));
}

/** Writes `data` to a new, synced file of mode 0600 beside its final name; gives the temporary name. */
async function writeTemporary(path: string, data: Bytes): Promise<string> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  using file = await Deno.open(temporary, { write: true, createNew: true, mode: 0o600 });
  await writeAll(file, data);
  await file.sync();
  return temporary;
}

/** Replaces a file so that a crash leaves the old bytes or the new, never a mixture. */
export async function replaceFile(folder: string, name: string, data: Bytes): Promise<void> {
  const path = `${folder}/${name}`;
  try {
    await Deno.rename(await writeTemporary(path, data), path);
    await syncFolder(folder);
  } catch (cause) {
    throw io(`write ${path}`, cause);
  }
}

/** At most `limit` bytes of a private file, or undefined where there is none. */
export async function readPrivateFile(path: string, limit: number): Promise<Bytes | undefined> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true });
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw io(`open ${path}`, cause);
  }
  using opened = file;
  const info = await opened.stat();
  const refuse = (what: string, hint: string): BackendError =>
    new BackendError("state_invalid", `${path} ${what}`, { kind: "SIMULATION", hint });
  if (!info.isFile) throw refuse("is no regular file", "move it away");
  const mode = (info.mode ?? 0) & 0o777;
  if ((mode & 0o077) !== 0) {
    throw refuse(
      `has mode ${mode.toString(8).padStart(4, "0")}: others may have read or changed it`,
      `if nobody did: chmod 0600 ${path}`,
    );
  }
  if (info.size > limit) throw refuse(`is ${info.size} bytes, ${limit} at most`, "restore it");
  const data = new Uint8Array(info.size);
  for (let offset = 0; offset < data.length;) {
    const count = await opened.read(data.subarray(offset));
    if (count === null) throw refuse("became shorter while it was read", "restore it");
    offset += count;
  }
  return data;
}

/**
 * The sealing root, made on the first use of a data directory. Two that start at once get the same:
 * the file appears whole under its name by link(2), which never replaces.
 *
 * @param create whether a missing root may be made. A store that exists without its root can never
 * be opened again, and a new root beside it would only hide that.
 * @throws {BackendError} `unavailable` where it is missing and may not be made, `state_invalid` for
 * a wrong length, mode or kind of file, `io`.
 */
export async function openSealingRoot(
  folder: string,
  create: boolean,
  random: (length: number) => Bytes,
): Promise<Bytes> {
  const path = `${folder}/${ROOT_NAME}`;
  let root = await readPrivateFile(path, 4096);
  if (root === undefined) {
    if (!create) {
      throw new BackendError("unavailable", `no simulated device here: ${path} is missing`, {
        kind: "SIMULATION",
        hint: "restore the file; without it, what was sealed to it cannot be opened",
      });
    }
    const fresh = random(ROOT_LENGTH);
    try {
      await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
      const temporary = await writeTemporary(path, fresh);
      try {
        await Deno.link(temporary, path);
      } catch (cause) {
        if (!(cause instanceof Deno.errors.AlreadyExists)) throw cause;
      } finally {
        await Deno.remove(temporary);
      }
      await syncFolder(folder);
    } catch (cause) {
      throw io(`make ${path}`, cause);
    } finally {
      fresh.fill(0);
    }
    root = await readPrivateFile(path, 4096);
  }
  if (root?.length !== ROOT_LENGTH) {
    throw new BackendError(
      "state_invalid",
      `${path} is ${root?.length ?? 0} bytes, ${ROOT_LENGTH} are wanted`,
      { kind: "SIMULATION", hint: "the file is damaged: restore it from a backup" },
    );
  }
  return root;
}
