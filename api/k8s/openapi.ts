/**
 * OpenAPI v3 of the Kubernetes paths, made from the resource table: enough for kubectl to see which
 * requests there are. Schemas stop at the object's own level; specs are not described.
 */
import { apiVersionOf, type ResourceDefinition, type ResourceTable } from "./resources.ts";

/** `GET /openapi/v3` */
export function openApiIndex(table: ResourceTable, version: string): Record<string, unknown> {
  const paths: Record<string, unknown> = {};
  for (const resource of table.all()) {
    const path = groupPath(resource);
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${encodeURIComponent(version)}` };
  }
  return { paths };
}

function groupPath(resource: { group: string; version: string }): string {
  return resource.group === ""
    ? `api/${resource.version}`
    : `apis/${resource.group}/${resource.version}`;
}

/** `GET /openapi/v3/{api/v1 | apis/group/version}`; undefined where nothing of it is served. */
export function openApiDocument(
  table: ResourceTable,
  path: string,
  version: string,
): Record<string, unknown> | undefined {
  const resources = table.all().filter((resource) => groupPath(resource) === path);
  if (resources.length === 0) return undefined;
  return {
    openapi: "3.0.0",
    info: { title: "Nautilus TEE, Kubernetes resources", version },
    paths: Object.assign({}, ...resources.map(pathsOf)),
    components: { schemas: Object.assign({ ObjectMeta }, ...resources.map(schemaOf)) },
  };
}

const ObjectMeta = {
  type: "object",
  description: "Standard object's metadata.",
  properties: {
    name: { type: "string" },
    generateName: { type: "string" },
    namespace: { type: "string" },
    uid: { type: "string" },
    resourceVersion: { type: "string" },
    generation: { type: "integer", format: "int64" },
    creationTimestamp: { type: "string", format: "date-time" },
    deletionTimestamp: { type: "string", format: "date-time" },
    labels: { type: "object", additionalProperties: { type: "string" } },
    annotations: { type: "object", additionalProperties: { type: "string" } },
    finalizers: { type: "array", items: { type: "string" } },
    ownerReferences: { type: "array", items: { type: "object" } },
  },
} as const;

function schemaName(resource: ResourceDefinition): string {
  const group = resource.group === "" ? "core" : resource.group.split(".")[0] ?? resource.group;
  return `io.k8s.api.${group}.${resource.version}.${resource.kind}`;
}

function schemaOf(resource: ResourceDefinition): Record<string, unknown> {
  const { group, version, kind } = resource;
  return {
    [schemaName(resource)]: {
      type: "object",
      description: `${kind} in ${
        apiVersionOf(resource)
      }. Fields below this level are stored as they are.`,
      properties: {
        apiVersion: { type: "string" },
        kind: { type: "string" },
        metadata: { allOf: [{ $ref: "#/components/schemas/ObjectMeta" }] },
      },
      "x-kubernetes-preserve-unknown-fields": true,
      "x-kubernetes-group-version-kind": [{ group, version, kind }],
    },
  };
}

function parameter(name: string, schema: Record<string, unknown>): Record<string, unknown> {
  return { name, in: "query", schema: { uniqueItems: true, ...schema } };
}

const WRITE_PARAMETERS = [
  parameter("dryRun", { type: "string" }),
  parameter("fieldManager", { type: "string" }),
  parameter("fieldValidation", { type: "string" }),
];
const LIST_PARAMETERS = [
  ...["labelSelector", "fieldSelector", "continue", "resourceVersion", "resourceVersionMatch"].map(
    (name) => parameter(name, { type: "string" }),
  ),
  parameter("limit", { type: "integer" }),
  parameter("watch", { type: "boolean" }),
  parameter("allowWatchBookmarks", { type: "boolean" }),
  parameter("timeoutSeconds", { type: "integer" }),
];

function pathsOf(resource: ResourceDefinition): Record<string, unknown> {
  const { group, version, kind, plural, namespaced } = resource;
  const base = `/${groupPath(resource)}`;
  const collection = namespaced ? `${base}/namespaces/{namespace}/${plural}` : `${base}/${plural}`;
  const schema = { $ref: `#/components/schemas/${schemaName(resource)}` };
  const content = { "application/json": { schema } };
  const operation = (action: string, parameters: readonly unknown[], body?: unknown) => ({
    "x-kubernetes-action": action,
    "x-kubernetes-group-version-kind": { group, version, kind },
    parameters,
    ...(body === undefined ? {} : { requestBody: { content: body } }),
    responses: { "200": { description: "OK", content } },
  });
  const object = { schema: { type: "object" } };
  const patch = {
    "application/json-patch+json": object,
    "application/merge-patch+json": object,
    "application/strategic-merge-patch+json": object,
  };
  const inPath = (name: string) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string", uniqueItems: true },
  });
  const place = namespaced ? [inPath("namespace")] : [];
  return {
    [collection]: {
      get: operation("list", LIST_PARAMETERS),
      post: operation("post", WRITE_PARAMETERS, content),
      delete: operation("deletecollection", LIST_PARAMETERS),
      parameters: place,
    },
    [`${collection}/{name}`]: {
      get: operation("get", []),
      put: operation("put", WRITE_PARAMETERS, content),
      patch: operation("patch", WRITE_PARAMETERS, patch),
      delete: operation("delete", [parameter("dryRun", { type: "string" })]),
      parameters: [...place, inPath("name")],
    },
  };
}
