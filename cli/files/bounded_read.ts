/** Reading a file that somebody else names: it may be a device, a pipe, or larger than memory. */
import type { Bytes } from "../../backends/mod.ts";

/** @throws {Error} for anything but a regular file of at most `limit` bytes */
export async function readBounded(path: string, limit: number): Promise<Bytes> {
  // Before it is opened: opening a pipe waits for its writer.
  const { isFile } = await Deno.stat(path);
  if (!isFile) throw new Error(`${path} is no regular file`);
  using file = await Deno.open(path, { read: true });
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const chunk = new Uint8Array(Math.min(64 * 1024, limit + 1 - length));
    const count = await file.read(chunk);
    if (count === null) break;
    length += count;
    if (length > limit) throw new Error(`${path} has more than ${limit} bytes`);
    chunks.push(chunk.subarray(0, count));
  }
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, offset);
    offset += chunk.length;
  }
  return bytes;
}

/** The same as UTF-8. @throws {Error} as readBounded; {TypeError} for what is no UTF-8 */
export async function readBoundedText(path: string, limit: number): Promise<string> {
  return new TextDecoder("utf-8", { fatal: true }).decode(await readBounded(path, limit));
}
