/** Reading HTTP bodies with a limit. */
import type { IncomingMessage } from "node:http";

/** All parts in one. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}

/** The whole body, refused beyond `limit` bytes. */
export async function readBody(request: IncomingMessage, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request) {
    if (!(part instanceof Uint8Array)) throw new Error("body: not bytes");
    length += part.length;
    if (length > limit) throw new Error(`body: more than ${limit} bytes`);
    parts.push(part);
  }
  return concat(parts);
}
