/** Kubernetes' URL paths: what they name, and which of our own paths lie among them. Pure. */
import { StatusError } from "./status.ts";

/** An object or a collection. `namespace` "" is the whole cluster, `name` "" the collection. */
export interface ResourcePath {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly namespace: string;
  readonly name: string;
  /** What follows the name: `status`, `log`, … */
  readonly subresource: string | undefined;
}

const MAX_PATH_LENGTH = 2048;

/**
 * `/api/v1/[namespaces/{ns}/]{plural}[/{name}[/{subresource}]]` and the same below
 * `/apis/{group}/{version}/`; undefined for anything else, such as a discovery document.
 *
 * @param path not yet percent-decoded
 * @throws {StatusError} BadRequest for encodings that hide a slash or are none.
 */
export function parseResourcePath(path: string): ResourcePath | undefined {
  if (path.length > MAX_PATH_LENGTH) throw new StatusError("BadRequest", "the path is too long");
  const segments = path.split("/").slice(1).map(decodeSegment);
  const [root] = segments;
  let group: string;
  let rest: string[];
  if (root === "api") {
    group = "";
    rest = segments.slice(1);
  } else if (root === "apis") {
    group = segments[1] ?? "";
    rest = segments.slice(2);
    if (group === "") return undefined;
  } else {
    return undefined;
  }
  const [version = "", ...target] = rest;
  if (version === "" || target.length === 0 || target.includes("")) return undefined;
  // `/namespaces/{name}` and `/namespaces/{name}/status` are the namespace itself.
  const [first = "", second, third] = target;
  const inNamespace = first === "namespaces" && third !== undefined && third !== "status" &&
    third !== "finalize";
  const namespace = inNamespace ? second ?? "" : "";
  const [plural = "", name = "", ...sub] = inNamespace ? target.slice(2) : target;
  return {
    group,
    version,
    plural,
    namespace,
    name,
    subresource: sub.length === 0 ? undefined : sub.join("/"),
  };
}

function decodeSegment(segment: string): string {
  if (!segment.includes("%")) return segment;
  let decoded: string;
  try {
    decoded = decodeURIComponent(segment);
  } catch (cause) {
    throw new StatusError("BadRequest", "the path holds an invalid percent-encoding", { cause });
  }
  // deno-lint-ignore no-control-regex
  if (/[/\u0000-\u001f\u007f]/.test(decoded)) {
    throw new StatusError("BadRequest", "the path holds an encoded slash or control character");
  }
  return decoded;
}
