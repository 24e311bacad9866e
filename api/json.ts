/**
 * Strict JSON from outside (RFC 8259 with I-JSON's rules, RFC 7493): UTF-8 without errors or a byte
 * order mark, no duplicate names, no `__proto__`, bounded depth. `JSON.parse` alone takes the last of
 * two equal names, and what another parser in front of this one takes is anybody's guess.
 */
import { ApiProblem } from "./problem.ts";

/** Deepest nesting of arrays and objects accepted anywhere. */
export const MAX_JSON_DEPTH = 64;

const CODE = {
  quote: 0x22,
  comma: 0x2c,
  openArray: 0x5b,
  backslash: 0x5c,
  closeArray: 0x5d,
  openObject: 0x7b,
  closeObject: 0x7d,
} as const;

/** A name that stands twice in one object: the last one counts. */
export interface DuplicateField {
  readonly name: string;
  /** From the root of the document, such as `spec.containers[0].image`. */
  readonly path: string;
  /** Where in the text it stands for the second time. */
  readonly at: number;
}

/** Most duplicates that are remembered of one document; the API server remembers as many. */
export const MAX_DUPLICATES = 100;

/**
 * Decodes one JSON document.
 *
 * @param duplicates takes the names that stand twice; without it they are refused.
 * @throws {ApiProblem} 400 `invalid_utf8`, `invalid_json`, `duplicate_field` or `too_deep`, naming
 * the field where there is one.
 */
export function decodeJson(
  bytes: Uint8Array,
  maxDepth = MAX_JSON_DEPTH,
  duplicates?: DuplicateField[],
): unknown {
  return decodeJsonText(decodeUtf8(bytes), maxDepth, duplicates);
}

/** As `decodeJson`, of text that was decoded already. @throws {ApiProblem} as `decodeJson` */
export function decodeJsonText(
  text: string,
  maxDepth = MAX_JSON_DEPTH,
  duplicates?: DuplicateField[],
): unknown {
  scan(text, maxDepth, duplicates);
  let value: unknown;
  try {
    value = MAY_LOSE_DIGITS.test(text) ? JSON.parse(text, exactNumber) : JSON.parse(text);
  } catch (cause) {
    if (cause instanceof ApiProblem) throw cause;
    throw new ApiProblem(400, "invalid_json", "the body is not a JSON document", { cause });
  }
  return value;
}

/** What a number that does not fit looks like: three digits of exponent, or many digits. */
const MAY_LOSE_DIGITS = /\d[eE]\+?\d{3}|\d{16}/;

/**
 * Whether an integer as it is written is another one once it is read: …993 becomes …992. What a
 * program writes for a double (the shortest digits that give it) stays what it is.
 */
export function losesDigits(source: string, value: number): boolean {
  return /^-?\d{16,21}$/.test(source) && String(value) !== source;
}

/**
 * A reviver: JSON.parse reads `1e999` as infinity, which would be written as null, and rounds
 * integers. @throws {ApiProblem} 400
 */
function exactNumber(...[, value, context]: readonly unknown[]): unknown {
  if (typeof value !== "number") return value;
  if (!Number.isFinite(value)) {
    throw new ApiProblem(400, "invalid_json", "the body holds a number that is too large");
  }
  // ECMAScript's JSON.parse source text access.
  const source: unknown = Object(context).source;
  if (typeof source === "string" && losesDigits(source, value)) {
    throw new ApiProblem(400, "invalid_json", LOSES_DIGITS, { hint: "write it as a string" });
  }
  return value;
}

export const LOSES_DIGITS =
  "the body holds an integer beyond 2^53 that would lose digits in this program";

/** @throws {ApiProblem} 400 `invalid_utf8`, also for a byte order mark. */
export function decodeUtf8(bytes: Uint8Array): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new ApiProblem(400, "invalid_utf8", "the body is not valid UTF-8", { cause });
  }
  if (text.startsWith("\uFEFF")) {
    throw new ApiProblem(400, "invalid_utf8", "the body starts with a byte order mark");
  }
  return text;
}

/** One open array or object while scanning. */
interface Frame {
  /** Names seen, and whether more than once; undefined in an array. */
  readonly names: Map<string, boolean> | undefined;
  name: string;
  /** Of the item that stands here in an array. */
  index: number;
}

/** Looks at structure only; whatever is no JSON at all is left to JSON.parse. */
function scan(text: string, maxDepth: number, duplicates?: DuplicateField[]): void {
  const frames: Frame[] = [];
  let expectName = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case CODE.quote: {
        const end = stringEnd(text, i);
        if (expectName) {
          const frame = frames.at(-1);
          if (frame?.names !== undefined) {
            const twice = takeName(text.slice(i, end + 1), frame.names, frames);
            if (twice !== undefined) takeDuplicate(twice, frames, i, duplicates);
          }
          expectName = false;
        }
        i = end;
        break;
      }
      case CODE.openObject:
      case CODE.openArray: {
        if (frames.length >= maxDepth) {
          throw new ApiProblem(
            400,
            "too_deep",
            `the body is nested deeper than ${maxDepth} levels`,
            { ...fieldOf(frames) },
          );
        }
        const isObject = text.charCodeAt(i) === CODE.openObject;
        frames.push({ names: isObject ? new Map() : undefined, name: "", index: 0 });
        expectName = isObject;
        break;
      }
      case CODE.closeObject:
      case CODE.closeArray:
        frames.pop();
        expectName = false;
        break;
      case CODE.comma: {
        const frame = frames.at(-1);
        expectName = frame?.names !== undefined;
        if (frame !== undefined) frame.index++;
        break;
      }
    }
  }
}

/** Index of the closing quote, or the last index where there is none (JSON.parse will refuse it). */
function stringEnd(text: string, start: number): number {
  let i = start + 1;
  for (; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === CODE.quote) return i;
    if (code === CODE.backslash) i++;
  }
  return text.length - 1;
}

/** @returns the name when it is met for the second time. */
function takeName(
  literal: string,
  names: Map<string, boolean>,
  frames: readonly Frame[],
): string | undefined {
  let name: string;
  try {
    const parsed: unknown = literal.includes("\\") ? JSON.parse(literal) : literal.slice(1, -1);
    if (typeof parsed !== "string") return undefined;
    name = parsed;
  } catch {
    return undefined; // not a JSON string: JSON.parse refuses the document with its own words
  }
  const frame = frames.at(-1);
  if (frame !== undefined) frame.name = name;
  if (name === "__proto__") {
    throw new ApiProblem(400, "unknown_field", `field "__proto__" is not allowed`, {
      field: "__proto__",
    });
  }
  const seen = names.get(name);
  if (seen !== true) names.set(name, seen === false);
  return seen === false ? name : undefined;
}

function takeDuplicate(
  name: string,
  frames: readonly Frame[],
  at: number,
  duplicates: DuplicateField[] | undefined,
): void {
  if (duplicates === undefined) {
    const { field } = fieldOf(frames);
    throw new ApiProblem(400, "duplicate_field", `field "${field ?? name}" stands twice`, {
      field: field ?? name,
    });
  }
  if (duplicates.length >= MAX_DUPLICATES) return;
  duplicates.push({ name, path: pathOf(frames), at });
}

/** Names with dots before them, places in arrays in brackets; 1,024 characters at most. */
function pathOf(frames: readonly Frame[]): string {
  let path = "";
  for (const { names, name, index } of frames) {
    if (names === undefined) path += `[${index}]`;
    else path += path === "" ? name.slice(0, MAX_PATH) : `.${name.slice(0, MAX_PATH)}`;
    if (path.length >= MAX_PATH) return `${path.slice(0, MAX_PATH)}…`;
  }
  return path;
}

const MAX_PATH = 1024;

function fieldOf(frames: readonly Frame[]): { field?: string } {
  const path = frames.map((frame) => frame.name).filter((name) => name !== "");
  return path.length === 0 ? {} : { field: path.join(".").slice(0, 200) };
}
