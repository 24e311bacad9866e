/** JSON whose exact text matters: Intel signs the bytes of a member, not its meaning. */
import { BackendError } from "../errors.ts";

/** Real replies have 2 to 20 KB. */
export const MAX_JSON_BYTES = 1 << 20;
const MAX_DEPTH = 16;

/**
 * Bytes to JSON text (UTF-8, an optional byte order mark in front is dropped).
 * @throws {BackendError} `malformed`: too long, not UTF-8.
 */
export function jsonText(bytes: Uint8Array, what: string): string {
  if (bytes.length > MAX_JSON_BYTES) {
    throw new BackendError(
      "malformed",
      `${what}: ${bytes.length} bytes, at most ${MAX_JSON_BYTES}`,
    );
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new BackendError("malformed", `${what}: not UTF-8`, { cause });
  }
}

/**
 * Parses JSON text after bounding its nesting.
 * @throws {BackendError} `malformed`.
 */
export function parseJson(text: string, what: string): unknown {
  boundDepth(text, what);
  try {
    const value: unknown = JSON.parse(text);
    return value;
  } catch (cause) {
    throw new BackendError("malformed", `${what}: not JSON`, { cause });
  }
}

/**
 * The members of a JSON object with the exact text of each value.
 * @returns name to text, without the whitespace around it; undefined when the text is no object.
 * @throws {BackendError} `malformed`: not JSON, or a member that stands twice (it would be anyone's
 * guess which one was meant).
 */
export function objectMembers(text: string, what: string): Map<string, string> | undefined {
  const value = parseJson(text, what);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  // From here on the text is known to be valid JSON, so the scan needs no grammar.
  const members = new Map<string, string>();
  let at = text.indexOf("{") + 1;
  for (;;) {
    at = skipWhitespace(text, at);
    if (text[at] === "}") return members;
    if (text[at] === ",") {
      at++;
      continue;
    }
    const nameEnd = stringEnd(text, at);
    const parsedName: unknown = JSON.parse(text.slice(at, nameEnd));
    const name = String(parsedName);
    if (members.has(name)) {
      throw new BackendError("malformed", `${what}: member "${name}" stands twice`);
    }
    const start = skipWhitespace(text, text.indexOf(":", nameEnd) + 1);
    at = valueEnd(text, start);
    members.set(name, text.slice(start, at).trimEnd());
  }
}

function skipWhitespace(text: string, at: number): number {
  while (at < text.length && " \t\r\n".includes(text[at] ?? "")) at++;
  return at;
}

/** Index after the closing quote of the string that opens at `at`. */
function stringEnd(text: string, at: number): number {
  let i = at + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}

/** Index of the comma or closing brace after the value that begins at `at`. */
function valueEnd(text: string, at: number): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    const char = text[i];
    if (char === '"') i = stringEnd(text, i) - 1;
    else if (char === "{" || char === "[") depth++;
    else if (char === "}" || char === "]") {
      if (depth === 0) return i;
      depth--;
    } else if (char === "," && depth === 0) return i;
  }
  return text.length;
}

function boundDepth(text: string, what: string): void {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x22) i = stringEnd(text, i) - 1;
    else if (char === 0x7b || char === 0x5b) {
      if (++depth > MAX_DEPTH) {
        throw new BackendError("malformed", `${what}: nested deeper than ${MAX_DEPTH}`);
      }
    } else if (char === 0x7d || char === 0x5d) depth--;
  }
}
