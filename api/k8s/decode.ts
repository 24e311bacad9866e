/** Bodies of Kubernetes requests: JSON or YAML, one document, plain data only. */
import { isNode, isScalar, Lexer, parseAllDocuments, visit } from "yaml";
import {
  decodeJson,
  decodeUtf8,
  type DuplicateField,
  LOSES_DIGITS,
  losesDigits,
  MAX_DUPLICATES,
  MAX_JSON_DEPTH,
} from "../json.ts";
import { ApiProblem } from "../problem.ts";
import { StatusError } from "./status.ts";

/** As the API server's own limit of a request body. */
export const MAX_OBJECT_BYTES = 3 * 1024 * 1024;
/** YAML costs far more to read than JSON, and kubectl sends JSON. */
export const MAX_YAML_BYTES = 256 * 1024;
/** What reading costs is by token, not by byte: 256 KiB of commas are 50 times a manifest of that length. */
export const MAX_YAML_TOKENS = 50_000;
/** Anchors are for people; more than this many uses of them is an attack ("billion laughs"). */
export const MAX_YAML_ALIASES = 100;

export type BodyFormat = "json" | "yaml" | "protobuf";

/**
 * The format that a Content-Type names; an absent one is JSON, as the API server takes it.
 *
 * @throws {StatusError} UnsupportedMediaType
 */
export function bodyFormat(contentType: string | undefined): BodyFormat {
  const type = (contentType ?? "application/json").split(";", 1)[0]?.trim().toLowerCase() ?? "";
  switch (type) {
    case "":
    case "application/json":
      return "json";
    case "application/yaml":
    case "application/x-yaml":
    case "text/yaml":
      return "yaml";
    case "application/vnd.kubernetes.protobuf":
      return "protobuf";
  }
  throw new StatusError(
    "UnsupportedMediaType",
    `the body of the request was in an unknown format (${
      type.slice(0, 100)
    }); accepted media types are application/json, application/yaml and application/vnd.kubernetes.protobuf`,
  );
}

/** A field that stands twice, with the line where it does for the second time, from 1. */
export type Duplicate = Omit<DuplicateField, "at"> & { readonly line: number };

/** Fields that stand twice in a body. */
export interface Duplicates {
  readonly format: "json" | "yaml";
  readonly fields: readonly Duplicate[];
}

/**
 * A body as the API server reads it: of a field that stands twice the last one counts, and
 * `fieldValidation` says what becomes of it.
 *
 * @throws {ApiProblem} 400 or 413, naming the field where there is one.
 */
export function decodeBody(
  bytes: Uint8Array,
  format: "json" | "yaml",
): { readonly value: unknown; readonly duplicates: Duplicates } {
  const found: DuplicateField[] = [];
  const value = format === "json"
    ? decodeJson(bytes, MAX_JSON_DEPTH, found)
    : decodeYaml(bytes, found);
  return { value, duplicates: { format, fields: withLines(found, bytes) } };
}

/** Lines are counted once for all of them. */
function withLines(found: readonly DuplicateField[], bytes: Uint8Array): readonly Duplicate[] {
  if (found.length === 0) return [];
  const text = decodeUtf8(bytes);
  let line = 1;
  let newline = text.indexOf("\n");
  return found.toSorted((a, b) => a.at - b.at).map(({ name, path, at }) => {
    for (; newline !== -1 && newline < at; newline = text.indexOf("\n", newline + 1)) line++;
    return { name, path, line };
  });
}

/**
 * A document in which no field stands twice.
 *
 * @throws {ApiProblem} 400 or 413, naming the field where there is one.
 */
export function decodeDocument(bytes: Uint8Array, format: "json" | "yaml"): unknown {
  return format === "json" ? decodeJson(bytes) : decodeYaml(bytes);
}

function decodeYaml(bytes: Uint8Array, duplicates?: DuplicateField[]): unknown {
  if (bytes.length > MAX_YAML_BYTES) {
    throw new ApiProblem(
      413,
      "body_too_large",
      `a YAML body may have ${MAX_YAML_BYTES} bytes at most, this one has ${bytes.length}`,
      { hint: "send JSON" },
    );
  }
  const invalid = (why: string, cause?: unknown) =>
    new ApiProblem(400, "invalid_yaml", `the body is not an acceptable YAML document: ${why}`, {
      cause,
    });
  const text = decodeUtf8(bytes);
  requireModest(text);
  let value: unknown;
  try {
    const documents = parseAllDocuments(text, {
      version: "1.2",
      schema: "core",
      strict: true,
      uniqueKeys: false, // quadratic there; requireUniqueKeys() is not
      merge: false,
      logLevel: "silent",
      stringKeys: true,
      prettyErrors: false,
      resolveKnownTags: false,
    });
    if (!Array.isArray(documents) || documents.length === 0) throw invalid("it is empty");
    if (documents.length > 1) throw invalid("one document is expected, there are several");
    const [document] = documents;
    if (document === undefined) throw invalid("it is empty");
    const [trouble] = [...document.errors, ...document.warnings];
    if (trouble !== undefined) throw invalid(`${trouble.code} at byte ${trouble.pos[0]}`, trouble);
    if (
      Object.values(document.directives?.tags ?? {}).some((tag) => tag !== "tag:yaml.org,2002:")
    ) {
      throw invalid("tags are not accepted");
    }
    findDuplicates(document.contents, duplicates);
    requireExactNumbers(document.contents);
    value = document.toJS({ maxAliasCount: MAX_YAML_ALIASES });
  } catch (cause) {
    if (cause instanceof ApiProblem) throw cause;
    // A stack that runs out on nesting, or too many aliases.
    throw invalid(cause instanceof Error ? cause.message.slice(0, 120) : "unreadable", cause);
  }
  requirePlain(value);
  return value;
}

/** The token before a scalar's own. */
const SCALAR = "\u001f";

/** Looks at tokens only, and stops at the first that is too many or too deep. @throws {ApiProblem} 400, 413 */
function requireModest(text: string): void {
  let count = 0;
  let depth = 0;
  let isScalarNext = false;
  for (const token of new Lexer().lex(text)) {
    if (++count > MAX_YAML_TOKENS) {
      throw new ApiProblem(
        413,
        "body_too_large",
        `a YAML body may have ${MAX_YAML_TOKENS} tokens at most`,
        { hint: "send JSON" },
      );
    }
    if (isScalarNext) isScalarNext = false;
    else if (token === SCALAR) isScalarNext = true;
    else if (token === "[" || token === "{") depth++;
    else if (token === "]" || token === "}") depth--;
    if (depth > MAX_JSON_DEPTH) throw tooDeep();
  }
}

function tooDeep(): ApiProblem {
  return new ApiProblem(
    400,
    "too_deep",
    `the body is nested deeper than ${MAX_JSON_DEPTH} levels`,
  );
}

/** @throws {ApiProblem} 400 naming a key that stands twice in one map, unless `duplicates` takes it */
function findDuplicates(root: unknown, duplicates?: DuplicateField[]): void {
  visit(isNode(root) ? root : null, {
    Map(_key, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        const name = isScalar(key) ? key.value : key;
        if (seen.has(name)) {
          const field = String(name);
          if (duplicates === undefined) {
            throw new ApiProblem(400, "duplicate_field", `field "${field}" stands twice`, {
              field,
            });
          }
          if (duplicates.length < MAX_DUPLICATES) {
            // No path: the YAML reader of the API server tells the line.
            duplicates.push({ name: field, path: "", at: isNode(key) ? key.range?.[0] ?? 0 : 0 });
          }
        }
        seen.add(name);
      }
    },
  });
}

/** @throws {ApiProblem} 400 */
function requireExactNumbers(root: unknown): void {
  visit(isNode(root) ? root : null, {
    Scalar(_key, { source, value }) {
      if (typeof value === "number" && source !== undefined && losesDigits(source, value)) {
        throw new ApiProblem(400, "invalid_yaml", LOSES_DIGITS, { hint: "write it as a string" });
      }
    },
  });
}

/** JSON's own types only, bounded in depth. @throws {ApiProblem} 400 */
export function requirePlain(value: unknown, depth = 0): void {
  if (depth > MAX_JSON_DEPTH) throw tooDeep();
  if (value === null || typeof value === "string" || typeof value === "boolean") return;
  if (typeof value === "number") {
    if (Number.isFinite(value)) return;
    throw new ApiProblem(400, "invalid_yaml", "the body holds a number that JSON does not have");
  }
  if (Array.isArray(value)) {
    for (const item of value) requirePlain(item, depth + 1);
    return;
  }
  if (typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype) {
    for (const [name, item] of Object.entries(value)) {
      if (name === "__proto__") {
        throw new ApiProblem(400, "unknown_field", `field "__proto__" is not allowed`, {
          field: "__proto__",
        });
      }
      requirePlain(item, depth + 1);
    }
    return;
  }
  throw new ApiProblem(400, "invalid_yaml", "the body holds a value that JSON does not have");
}
