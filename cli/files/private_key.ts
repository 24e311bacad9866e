/** Private keys in files of their owner's. */
import { createPrivateKey, type KeyObject } from "node:crypto";
import { UsageError } from "../command.ts";
import { readBoundedText } from "./bounded_read.ts";
import { fileReason } from "./reason.ts";

const MAX_KEY_BYTES = 64 << 10;

/**
 * @param type as OpenSSL calls it
 * @param wanted what the file must hold: "an Ed25519 private key in PEM"
 * @throws {UsageError} for a file that holds something else, or that others may read
 */
export async function readPrivateKey(
  path: string,
  type: "ed25519" | "x25519",
  wanted: string,
): Promise<KeyObject> {
  let pem: string;
  try {
    pem = await readBoundedText(path, MAX_KEY_BYTES);
  } catch (cause) {
    throw new UsageError(`--key ${path}: ${fileReason(cause)}`, { cause });
  }
  const { mode } = await Deno.stat(path);
  if (mode !== null && (mode & 0o077) !== 0) {
    throw new UsageError(`--key ${path}: others may read it; chmod 600 ${path}`);
  }
  let key: KeyObject | undefined;
  try {
    key = createPrivateKey({ key: pem, format: "pem" });
  } catch {
    key = undefined; // said below, together with keys of another kind
  }
  if (key?.asymmetricKeyType === type) return key;
  throw new UsageError(
    `--key ${path}: ${wanted} is wanted` +
      (key === undefined ? "" : `, not a key of type ${key.asymmetricKeyType}`),
  );
}
