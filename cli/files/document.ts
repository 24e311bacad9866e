/** JSON documents on disk. */
import { UsageError } from "../command.ts";
import { readBoundedText } from "./bounded_read.ts";
import { fileReason } from "./reason.ts";

const MAX_DOCUMENT_BYTES = 16 << 20;

/**
 * Reads a JSON document.
 * @throws {UsageError} naming flag and file: unreadable, too large, not JSON, not what is wanted
 */
export async function readDocument<T>(
  flag: string,
  path: string,
  decode: (json: unknown) => T,
): Promise<T> {
  try {
    return decode(JSON.parse(await readBoundedText(path, MAX_DOCUMENT_BYTES)));
  } catch (cause) {
    throw new UsageError(`--${flag} ${path}: ${fileReason(cause)}`, { cause });
  }
}
