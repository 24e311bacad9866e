/** Documents of recovery on disk, and the refusal that its commands share. */
import { UsageError } from "../command.ts";

const MAX_DOCUMENT_BYTES = 16 << 20;

/** The answer is no. Exit code 1. */
export class RecoveryRefused extends Error {
  override readonly name = "RecoveryRefused";
  readonly code = "recovery_refused";
  readonly hint: string | undefined;
  constructor(message: string, options: { cause?: unknown; hint?: string | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint;
  }
}

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
    const { size } = await Deno.stat(path);
    if (size > MAX_DOCUMENT_BYTES) {
      throw new UsageError(`${size} bytes, ${MAX_DOCUMENT_BYTES} at most`);
    }
    return decode(JSON.parse(await Deno.readTextFile(path)));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`--${flag} ${path}: ${why}`, { cause });
  }
}

/** @throws {UsageError} naming the flag that is missing */
export function wanted(flags: Readonly<Record<string, string>>, name: string): string {
  const value = flags[name];
  if (value === undefined) throw new UsageError(`--${name} is missing`);
  return value;
}
