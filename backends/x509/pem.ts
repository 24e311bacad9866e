/** PEM (RFC 7468), strictly enough to leave no doubt what was read. */
import { BackendError, type Bytes } from "../mod.ts";

export interface PemBlock {
  readonly label: string;
  readonly data: Bytes;
}

const BLOCK =
  /-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/=\s]*)-----END ([A-Z0-9 ]{1,64})-----/g;

/**
 * Every block of a text, in order; text between blocks is let be (RFC 7468, 2).
 * @throws {BackendError} `malformed`: none, too many, a label that does not match, bad base64
 */
export function pemBlocks(text: string, maxBlocks: number): PemBlock[] {
  const out: PemBlock[] = [];
  for (const [, label = "", body = "", end] of text.matchAll(BLOCK)) {
    if (out.length >= maxBlocks) {
      throw new BackendError("malformed", `PEM: more than ${maxBlocks} blocks`);
    }
    if (label !== end) {
      throw new BackendError("malformed", `PEM: BEGIN ${label} is closed by END ${end}`);
    }
    try {
      out.push({ label, data: Uint8Array.fromBase64(body.replace(/\s/g, "")) });
    } catch (cause) {
      throw new BackendError("malformed", `PEM: ${label} is not base64`, { cause });
    }
  }
  const begins = text.split("-----BEGIN ").length - 1;
  if (out.length === 0 || begins !== out.length) {
    throw new BackendError("malformed", `PEM: ${begins} blocks begin, ${out.length} can be read`);
  }
  return out;
}

/** Whether bytes look like PEM: the armour stands in the first 4 KiB. */
export function looksLikePem(bytes: Uint8Array): boolean {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 4096));
  return head.includes("-----BEGIN ");
}
