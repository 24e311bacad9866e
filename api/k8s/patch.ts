/** Patches: JSON Patch (RFC 6902), JSON Merge Patch (RFC 7396), Kubernetes' strategic merge, apply. */
import { decodeBody, MAX_OBJECT_BYTES, requirePlain } from "./decode.ts";
import { equalJson, isRecord } from "./prepare.ts";
import { MAX_DUPLICATES } from "../json.ts";
import type { Patch } from "./request.ts";
import type { KindSchemas } from "./schema.ts";
import { StatusError } from "./status.ts";
import { duplicateProblems, pathText } from "./strict.ts";
import { strategicMerge } from "./strategic_merge.ts";

const MAX_OPERATIONS = 10_000;

/** What the query says of a patch. */
export interface PatchOptions {
  /** As given; "" where it is not. */
  readonly fieldManager: string;
  readonly force: boolean;
}

/**
 * The patch in a body of this Content-Type.
 *
 * @throws {StatusError} UnsupportedMediaType, BadRequest
 */
export function decodePatch(
  bytes: Uint8Array,
  contentType: string | undefined,
  schemas: KindSchemas,
  options: PatchOptions,
): Patch {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (type !== APPLY_TYPE && options.force) {
    throw invalidOptions("force: Forbidden: may not be specified for non-apply patch");
  }
  switch (type) {
    case APPLY_TYPE: {
      if (options.fieldManager === "") {
        throw invalidOptions("fieldManager: Required value: is required for apply patch");
      }
      const { value: config, duplicates } = decodeBody(bytes, isJson(bytes) ? "json" : "yaml");
      return {
        kind: "apply",
        config,
        duplicates,
        manager: options.fieldManager,
        force: options.force,
      };
    }
    case "application/json-patch+json": {
      const { value: operations, duplicates } = decodeBody(bytes, "json");
      const problems = [...duplicateProblems(duplicates), ...unknownMembers(operations)];
      return {
        kind: "change",
        problems: problems.map((problem) => `json patch ${problem}`),
        apply: (current) => jsonPatch(current, operations),
      };
    }
    case "application/merge-patch+json": {
      const { value, duplicates } = decodeBody(bytes, "json");
      const patch = objectPatch(value);
      return {
        kind: "change",
        problems: duplicateProblems(duplicates),
        apply: (current) => mergePatch(current, patch),
      };
    }
    case "application/strategic-merge-patch+json": {
      const { value, duplicates } = decodeBody(bytes, "json");
      const patch = objectPatch(value);
      return {
        kind: "change",
        problems: duplicateProblems(duplicates),
        apply(current, resource) {
          // Without a description there are no merge keys, and merging by guess would lose items.
          if (resource.custom !== undefined) throw unknownFormat(type, CUSTOM_TYPES);
          return strategicMerge(current, patch, schemas.message(resource.kind), schemas);
        },
      };
    }
  }
  throw unknownFormat(type, [...CUSTOM_TYPES, "application/strategic-merge-patch+json"]);
}

const APPLY_TYPE = "application/apply-patch+yaml";
const CUSTOM_TYPES = ["application/json-patch+json", "application/merge-patch+json", APPLY_TYPE];

/** JSON is YAML, and far cheaper to read as what it is. */
function isJson(bytes: Uint8Array): boolean {
  const first = bytes.find((byte) => byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 9);
  return first === 0x7b;
}

function invalidOptions(why: string): StatusError {
  return new StatusError("Invalid", `PatchOptions.meta.k8s.io "" is invalid: ${why}`, {
    details: { group: "meta.k8s.io", kind: "PatchOptions" },
  });
}

function unknownFormat(type: string, accepted: readonly string[]): StatusError {
  return new StatusError(
    "UnsupportedMediaType",
    `the body of the request was in an unknown format (${
      type.slice(0, 100)
    }) - accepted media types include: ${accepted.join(", ")}`,
  );
}

const MEMBERS: readonly string[] = ["op", "path", "from", "value"];

/** Members that no operation of a JSON patch has; RFC 6902, 4 has them ignored. */
function unknownMembers(operations: unknown): readonly string[] {
  if (!Array.isArray(operations)) return [];
  const unknown: string[] = [];
  for (const [i, operation] of operations.entries()) {
    for (const name of isRecord(operation) ? Object.keys(operation) : []) {
      if (MEMBERS.includes(name)) continue;
      unknown.push(`unknown field "${pathText([i, name])}"`);
      if (unknown.length >= MAX_DUPLICATES) return unknown;
    }
  }
  return unknown;
}

function objectPatch(value: unknown): Record<string, unknown> {
  if (!isRecord(value)) throw new StatusError("BadRequest", "the patch is not an object");
  return value;
}

/** RFC 7396: null takes away, objects merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const out: Record<string, unknown> = isRecord(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key];
    else out[key] = mergePatch(out[key], value);
  }
  return out;
}

function invalid(why: string): StatusError {
  return new StatusError(
    "Invalid",
    `the server rejected our request due to an error in our request: ${why}`,
  );
}

/** RFC 6902, all or nothing. @throws {StatusError} BadRequest, Invalid */
export function jsonPatch(document: unknown, operations: unknown): unknown {
  if (!Array.isArray(operations)) throw new StatusError("BadRequest", "a JSON patch is an array");
  if (operations.length > MAX_OPERATIONS) {
    throw new StatusError(
      "RequestEntityTooLarge",
      `a JSON patch has ${MAX_OPERATIONS} operations at most`,
    );
  }
  let result: unknown = structuredClone(document);
  const copies = { bytes: 0 };
  for (const operation of operations) {
    if (!isRecord(operation)) throw new StatusError("BadRequest", "an operation is not an object");
    result = step(result, operation, copies);
  }
  requirePlain(result);
  return result;
}

/** Copies of copies double; what they come to is bounded. */
function copyOf(value: unknown, copies: { bytes: number }): unknown {
  const text = JSON.stringify(value) ?? "null";
  copies.bytes += text.length;
  if (copies.bytes > MAX_OBJECT_BYTES) {
    throw new StatusError("RequestEntityTooLarge", "the copies of a JSON patch come to too much");
  }
  return JSON.parse(text);
}

function step(
  document: unknown,
  operation: Record<string, unknown>,
  copies: { bytes: number },
): unknown {
  const path = pointer(operation["path"]);
  const value = () => {
    if (!Object.hasOwn(operation, "value")) throw new StatusError("BadRequest", "value is missing");
    return structuredClone(operation["value"]);
  };
  switch (operation["op"]) {
    case "add":
      return add(document, path, value());
    case "remove":
      return remove(document, path);
    case "replace":
      get(document, path);
      return path.length === 0 ? value() : add(remove(document, path), path, value());
    case "move": {
      const from = pointer(operation["from"]);
      if (path.length > from.length && from.every((segment, i) => segment === path[i])) {
        throw invalid("a value cannot be moved into itself");
      }
      const moved = get(document, from);
      return add(remove(document, from), path, moved);
    }
    case "copy":
      return add(document, path, copyOf(get(document, pointer(operation["from"])), copies));
    case "test":
      if (!equalJson(get(document, path), value())) {
        throw invalid(`test failed at ${String(operation["path"])}`);
      }
      return document;
  }
  throw new StatusError("BadRequest", "op is not one of add, remove, replace, move, copy, test");
}

/** RFC 6901. */
function pointer(text: unknown): readonly string[] {
  if (typeof text !== "string" || (text !== "" && !text.startsWith("/"))) {
    throw new StatusError("BadRequest", "a path is not a JSON pointer");
  }
  return text.split("/").slice(1).map((part) => {
    const segment = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (segment === "__proto__") throw new StatusError("BadRequest", "__proto__ is no field");
    return segment;
  });
}

function index(segment: string, end: number): number {
  if (!/^(0|[1-9][0-9]{0,8})$/.test(segment)) throw invalid(`"${segment}" is no index`);
  const at = Number(segment);
  if (at > end) throw invalid(`index ${segment} is out of bounds`);
  return at;
}

function get(document: unknown, path: readonly string[]): unknown {
  let value = document;
  for (const segment of path) {
    if (Array.isArray(value)) value = value[index(segment, value.length - 1)];
    else if (isRecord(value) && Object.hasOwn(value, segment)) value = value[segment];
    else throw invalid(`there is nothing at "${segment}"`);
  }
  return value;
}

/** Changes in place: the document is a copy of our own. */
function add(document: unknown, path: readonly string[], value: unknown): unknown {
  const last = path.at(-1);
  if (last === undefined) return value;
  const parent = get(document, path.slice(0, -1));
  if (Array.isArray(parent)) {
    parent.splice(last === "-" ? parent.length : index(last, parent.length), 0, value);
  } else if (isRecord(parent)) {
    parent[last] = value;
  } else {
    throw invalid(`"${last}" has no parent`);
  }
  return document;
}

function remove(document: unknown, path: readonly string[]): unknown {
  const last = path.at(-1);
  if (last === undefined) return null;
  const parent = get(document, path.slice(0, -1));
  if (Array.isArray(parent)) {
    parent.splice(index(last, parent.length - 1), 1);
  } else if (isRecord(parent) && Object.hasOwn(parent, last)) {
    delete parent[last];
  } else {
    throw invalid(`there is nothing at "${last}"`);
  }
  return document;
}
