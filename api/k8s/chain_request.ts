/** A Kubernetes request as it stands on chain, in either of its two shapes, as our own request. */
import { decodeJsonText } from "../json.ts";
import { ApiProblem } from "../problem.ts";
import { chainUser, type Verb } from "./authorize.ts";
import { decodeDocument } from "./decode.ts";
import { parseResourcePath } from "./paths.ts";
import { isRecord } from "./prepare.ts";
import type { K8sRequest } from "./request.ts";
import type { ResourceDefinition, ResourceTable } from "./resources.ts";
import { StatusError } from "./status.ts";

/** What sui/chain_event.ts decodes; only what is needed here. */
export interface ChainRequest {
  readonly method: string;
  readonly namespace: string;
  /** Kind, plural, `plural.group`, short name, as written on chain. */
  readonly resource: string;
  readonly name: string;
  readonly path: string | undefined;
  readonly payload: string;
  /** 0x + 64 hex. */
  readonly requester: string;
  readonly assignedWorker: string | undefined;
}

const VERBS: Readonly<Record<string, Verb>> = {
  get: "get",
  list: "list",
  post: "create",
  create: "create",
  put: "update",
  update: "update",
  delete: "delete",
};

/** @throws {StatusError | ApiProblem} whatever is malformed or contradicts itself. */
export function requestFromChain(request: ChainRequest, table: ResourceTable): K8sRequest {
  const verb = VERBS[request.method.toLowerCase()];
  if (verb === undefined) {
    throw new StatusError(
      "MethodNotAllowed",
      `method "${request.method.slice(0, 40)}" is not known; there are GET, POST, PUT and DELETE`,
    );
  }
  const path = request.path === undefined || request.path === ""
    ? undefined
    : parseResourcePath(request.path);
  if (request.path !== undefined && request.path.startsWith("/") && path === undefined) {
    throw new StatusError("BadRequest", `path "${request.path.slice(0, 200)}" names no resource`);
  }
  const resource = path === undefined
    ? findResource(request.resource, table)
    : table.byPlural(path.group, path.version, path.plural);
  if (resource === undefined) {
    throw new StatusError(
      "NotFound",
      `resource "${(path?.plural ?? request.resource).slice(0, 80)}" is not served here`,
    );
  }
  if (
    path !== undefined && request.resource !== "" &&
    findResource(request.resource, table) !== resource
  ) {
    throw new StatusError("BadRequest", "path and resource_type name different resources");
  }
  if (path?.subresource !== undefined) {
    throw new StatusError("BadRequest", "subresources are not reached through the chain");
  }
  const body = withNode(decodePayload(request.payload), request.assignedWorker, resource);
  const metadata = isRecord(body) && isRecord(body["metadata"]) ? body["metadata"] : {};
  const name = agree(
    "name",
    path?.name ?? "",
    request.name,
    verb === "list" ? "" : metadata["name"],
  );
  const namespace = resource.namespaced
    ? agree("namespace", path?.namespace ?? "", request.namespace, metadata["namespace"])
    : "";
  return {
    user: chainUser(request.requester),
    verb: verb === "get" && name === "" ? "list" : verb,
    group: resource.group,
    version: resource.version,
    plural: resource.plural,
    namespace:
      namespace === "" && resource.namespaced && verb !== "list" && !(verb === "get" && name === "")
        ? "default"
        : namespace,
    name,
    // Delete options have no place on chain: whatever a deletion carries is the original's habit.
    ...(verb === "create" || verb === "update" ? { body: withIdentity(body, resource, name) } : {}),
  };
}

/** By Kind, plural, singular, short name or `plural.group`; the first in the table's order. */
export function findResource(text: string, table: ResourceTable): ResourceDefinition | undefined {
  const lower = text.toLowerCase();
  return table.all().find((resource) =>
    resource.plural === lower || resource.kind.toLowerCase() === lower ||
    resource.singular === lower || resource.shortNames.includes(lower) ||
    (resource.group !== "" && `${resource.plural}.${resource.group}` === lower)
  );
}

function decodePayload(payload: string): unknown {
  const text = payload.trim();
  if (text === "") return undefined;
  if (text.startsWith("{")) return decodeJsonText(text);
  return decodeDocument(new TextEncoder().encode(text), "yaml");
}

/** A pod that the chain assigned to a worker runs there and nowhere else. */
function withNode(
  body: unknown,
  assignedWorker: string | undefined,
  resource: ResourceDefinition,
): unknown {
  if (assignedWorker === undefined || assignedWorker === "") return body;
  if (resource.group !== "" || resource.kind !== "Pod" || !isRecord(body)) return body;
  const spec = isRecord(body["spec"]) ? body["spec"] : {};
  const given = spec["nodeName"];
  if (given !== undefined && given !== "" && given !== assignedWorker) {
    throw new StatusError("BadRequest", "spec.nodeName is not the worker that the chain assigned");
  }
  return { ...body, spec: { ...spec, nodeName: assignedWorker } };
}

/** The chain tells kind and name beside the payload, which need not say them again. */
function withIdentity(body: unknown, resource: ResourceDefinition, name: string): unknown {
  if (!isRecord(body)) return body;
  const { group, version, kind } = resource;
  const { metadata = {} } = body;
  const isNamed = !isRecord(metadata) || (metadata["name"] ?? "") !== "" || name === "";
  return {
    apiVersion: group === "" ? version : `${group}/${version}`,
    kind,
    ...body,
    ...(isNamed ? {} : { metadata: { ...metadata, name } }),
  };
}

/** The one value that all places that have one agree on. */
function agree(what: string, ...values: readonly unknown[]): string {
  const said = new Set(values.filter((value) => typeof value === "string" && value !== ""));
  if (said.size > 1) {
    throw new ApiProblem(400, "contradiction", `${what} is given twice and differs`, {
      field: what,
    });
  }
  const [value] = said;
  return typeof value === "string" ? value : "";
}
