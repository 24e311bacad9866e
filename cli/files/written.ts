/** Writing files: whole or not at all, and only for their owner. */
import { UsageError } from "../command.ts";
import { fileReason } from "./reason.ts";

/** Makes the directory (0700) where it is missing and tightens it where it is ours. */
export async function makePrivateDirectory(path: string): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  const { mode } = await Deno.stat(path);
  if (mode !== null && (mode & 0o077) !== 0) await Deno.chmod(path, 0o700);
}

/**
 * Writes beside the target, then renames: a reader sees the old file or the new one. Mode 0600.
 * @throws {Error} naming the file
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    {
      using file = await Deno.open(temporary, { createNew: true, write: true, mode: 0o600 });
      await writeAll(file, new TextEncoder().encode(text));
      await file.sync();
    }
    await Deno.rename(temporary, path);
    await syncFolderOf(path);
  } catch (cause) {
    await Deno.remove(temporary).catch(() => {});
    throw new Error(`${path} cannot be written: ${fileReason(cause)}`, { cause });
  }
}

/** A name is on the medium when its folder is. */
export async function syncFolderOf(path: string): Promise<void> {
  using folder = await Deno.open(path.replace(/[^/]*$/, "") || ".");
  await folder.sync();
}

/** Removes a file that may already be gone. */
export async function removeFile(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** A file that was not there before, on the medium when this returns. @throws {UsageError} where one is */
export async function writeNewFile(
  flag: string,
  path: string,
  text: string,
  mode: number,
): Promise<void> {
  const bytes = new TextEncoder().encode(text);
  try {
    using file = await Deno.open(path, { createNew: true, write: true, mode });
    await writeAll(file, bytes);
    await file.sync();
  } catch (cause) {
    if (cause instanceof Deno.errors.AlreadyExists) throw alreadyThere(flag, path);
    await removeFile(path);
    throw new Error(`${path} cannot be written: ${fileReason(cause)}`, { cause });
  } finally {
    bytes.fill(0);
  }
}

/** What has a name already is left alone: a file, a device, a pipe or a link. @throws {UsageError} */
export async function refuseExisting(flag: string, path: string): Promise<void> {
  try {
    await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw alreadyThere(flag, path);
}

function alreadyThere(flag: string, path: string): UsageError {
  return new UsageError(
    `--${flag}: ${path} is there already, and is left as it is; name a new one`,
  );
}

export async function writeAll(
  target: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(await target.write(rest));
}
