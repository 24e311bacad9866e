/** One master a data directory: an advisory lock on a file that names its holder. */
import { StoreError } from "./errors.ts";

const LOCK_FILE = "master.lock";

/**
 * Takes the lock of a data directory (which must exist) until it is disposed or the process ends,
 * however it ends. Against accidents only: a host that wants two masters copies the directory.
 * @throws {StoreError} `locked` naming the process that holds it, `io`
 */
export async function acquireDataDirLock(dataDir: string): Promise<AsyncDisposable> {
  const path = `${dataDir}/${LOCK_FILE}`;
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true, write: true, create: true, mode: 0o600 });
  } catch (cause) {
    throw new StoreError("io", `cannot open the lock file ${path}`, {
      cause,
      hint: "check that the data directory exists and belongs to this user",
    });
  }
  if (!await file.tryLock(true)) {
    const holder = await readHolder(file);
    file.close();
    throw new StoreError("locked", `another master holds ${dataDir}: ${holder}`, {
      hint: "stop that master first, or use another data directory",
    });
  }
  await file.truncate(0);
  await file.seek(0, Deno.SeekMode.Start);
  await file.write(new TextEncoder().encode(`process ${Deno.pid}\n`));
  let released = false;
  return {
    async [Symbol.asyncDispose]() {
      if (released) return;
      released = true;
      await file.truncate(0);
      await file.unlock();
      file.close();
    },
  };
}

/** Who wrote the lock file, as far as it can be told. It is a hint, so at most one short line. */
async function readHolder(file: Deno.FsFile): Promise<string> {
  const buffer = new Uint8Array(64);
  const length = await file.read(buffer);
  const text = new TextDecoder().decode(buffer.subarray(0, length ?? 0)).trim();
  return /^process \d+$/.test(text) ? text : "an unknown process";
}
