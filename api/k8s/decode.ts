/** Bodies of Kubernetes requests: JSON or YAML, one document, plain data only. */
import { isNode, isScalar, parseAllDocuments, visit } from "yaml";
import { decodeJson, decodeUtf8, LOSES_DIGITS, losesDigits, MAX_JSON_DEPTH } from "../json.ts";
import { ApiProblem } from "../problem.ts";
import { StatusError } from "./status.ts";

/** As the API server's own limit of a request body. */
export const MAX_OBJECT_BYTES = 3 * 1024 * 1024;
/** YAML costs far more to read than JSON, and kubectl sends JSON. */
export const MAX_YAML_BYTES = 256 * 1024;
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

/** @throws {ApiProblem} 400 or 413, naming the field where there is one. */
export function decodeDocument(bytes: Uint8Array, format: "json" | "yaml"): unknown {
  return format === "json" ? decodeJson(bytes) : decodeYaml(bytes);
}

function decodeYaml(bytes: Uint8Array): unknown {
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
    requireUniqueKeys(document.contents);
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

/** @throws {ApiProblem} 400 naming a key that stands twice in one map */
function requireUniqueKeys(root: unknown): void {
  visit(isNode(root) ? root : null, {
    Map(_key, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        const name = isScalar(key) ? key.value : key;
        if (seen.has(name)) {
          throw new ApiProblem(400, "duplicate_field", `field "${String(name)}" stands twice`, {
            field: String(name),
          });
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
  if (depth > MAX_JSON_DEPTH) {
    throw new ApiProblem(
      400,
      "too_deep",
      `the body is nested deeper than ${MAX_JSON_DEPTH} levels`,
    );
  }
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
