/** An anchor in a file on another medium: tells a disk restored by accident, not a hostile host. */
import type { Bytes } from "../backends/mod.ts";
import type { RecordAnchor } from "./anchor.ts";
import { equalBytes } from "./bytes.ts";

const MAX_BYTES = 256;

/** @param path in a folder that exists, best on another disk than the store */
export function fileAnchor(path: string): RecordAnchor {
  return {
    name: `anchor file ${path}`,
    protection: "accident",
    read: () => readAnchor(path),
    async compareAndSet(expected, next) {
      // Held while two masters on one machine might race for it.
      using lock = await Deno.open(`${path}.lock`, { create: true, write: true, mode: 0o600 });
      await lock.lock(true);
      const found = await readAnchor(path);
      const same = found === undefined || expected === undefined
        ? found === expected
        : equalBytes(found, expected);
      if (!same) return false;
      await replaceFile(path, next);
      return true;
    },
  };
}

async function readAnchor(path: string): Promise<Bytes | undefined> {
  let file: Deno.FsFile;
  try {
    file = await Deno.open(path, { read: true });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  using opened = file;
  const buffer = new Uint8Array(MAX_BYTES + 1);
  let length = 0;
  for (;;) {
    const read = await opened.read(buffer.subarray(length));
    if (read === null || read === 0) break;
    length += read;
  }
  return buffer.slice(0, length);
}

/** Whole and on the medium, or not at all. */
async function replaceFile(path: string, bytes: Bytes): Promise<void> {
  const temporary = `${path}.new`;
  {
    using file = await Deno.open(temporary, {
      create: true,
      write: true,
      truncate: true,
      mode: 0o600,
    });
    let written = 0;
    while (written < bytes.length) written += await file.write(bytes.subarray(written));
    await file.sync();
  }
  await Deno.rename(temporary, path);
  using folder = await Deno.open(path.replace(/[^/]*$/, "") || ".");
  await folder.sync();
}
