/**
 * OpenAPI v3 of the Kubernetes paths, made from the resource table: enough for kubectl to see which
 * requests there are, to compute patches for apply and to explain fields (names and types, no prose).
 */
import { isRecord } from "./plain.ts";
import type { CustomKind, ResourceDefinition, ResourceTable } from "./resources.ts";
import type { FieldSpec, KindSchemas, ScalarType } from "./schema.ts";

/** `GET /openapi/v3` */
export function openApiIndex(table: ResourceTable, version: string): Record<string, unknown> {
  const paths: Record<string, unknown> = {};
  for (const resource of table.all()) {
    const path = groupPath(resource);
    const hash = hashOf(table, path, version);
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${encodeURIComponent(hash)}` };
  }
  return { paths };
}

/** Another one when another document is behind the path: clients keep what they have by it. */
function hashOf(table: ResourceTable, path: string, version: string): string {
  const revisions = table.all().flatMap((resource) =>
    resource.custom !== undefined && groupPath(resource) === path
      ? [resource.custom.definition.revision]
      : []
  );
  return [version, ...revisions].join("-");
}

function groupPath(resource: { group: string; version: string }): string {
  return resource.group === ""
    ? `api/${resource.version}`
    : `apis/${resource.group}/${resource.version}`;
}

/** `GET /openapi/v3/{api/v1 | apis/group/version}`; undefined where nothing of it is served. */
export function openApiDocument(
  table: ResourceTable,
  schemas: KindSchemas,
  path: string,
  version: string,
): Record<string, unknown> | undefined {
  const resources = table.all().filter((resource) => groupPath(resource) === path);
  if (resources.length === 0) return undefined;
  const components: Record<string, unknown> = {};
  for (const resource of resources) addSchemas(resource, schemas, components);
  return {
    openapi: "3.0.0",
    info: { title: "Nautilus TEE, Kubernetes resources", version },
    paths: Object.assign({}, ...resources.map(pathsOf)),
    components: { schemas: components },
  };
}

function schemaName(name: string): string {
  return `io.k8s.api.v1.${name}`;
}

/** As Kubernetes names the schemas of custom kinds: the group backwards. */
function kindName({ group, version, kind, custom }: ResourceDefinition): string {
  if (custom === undefined) return schemaName(kind);
  return [...group.split(".").reverse(), version, kind].join(".");
}

function reference(schema: string): Record<string, unknown> {
  return { $ref: `#/components/schemas/${schema}` };
}

/** The kind's own schema and all that it refers to. */
function addSchemas(
  resource: ResourceDefinition,
  schemas: KindSchemas,
  into: Record<string, unknown>,
): void {
  const { group, version, kind, custom } = resource;
  const name = kindName(resource);
  if (custom === undefined) addMessage(kind, schemas, into);
  else {
    addMessage("ObjectMeta", schemas, into);
    into[name] = publishedSchema(custom);
  }
  const made = into[name] ?? { type: "object" };
  into[name] = {
    ...made,
    "x-kubernetes-group-version-kind": [{ group, version, kind }],
  };
}

/** What stands in the definition, and what every object has beside it. */
function publishedSchema({ published }: CustomKind): Record<string, unknown> {
  const properties = isRecord(published["properties"]) ? published["properties"] : {};
  return {
    ...published,
    properties: {
      apiVersion: { type: "string" },
      kind: { type: "string" },
      metadata: { allOf: [reference(schemaName("ObjectMeta"))], default: {} },
      ...Object.fromEntries(
        Object.entries(properties).filter(([name]) =>
          !["apiVersion", "kind", "metadata"].includes(name)
        ),
      ),
    },
  };
}

function addMessage(name: string, schemas: KindSchemas, into: Record<string, unknown>): void {
  if (Object.hasOwn(into, schemaName(name))) return;
  const message = schemas.message(name);
  if (message === undefined) return;
  const properties: Record<string, unknown> = {};
  into[schemaName(name)] = { type: "object", properties };
  if (message.byName.has("metadata")) {
    properties["apiVersion"] = { type: "string" };
    properties["kind"] = { type: "string" };
  }
  for (const [property, field] of message.byName) {
    properties[property] = schemaOfField(field);
    if (typeof field.type === "object") addMessage(field.type.message, schemas, into);
  }
}

function schemaOfField(field: FieldSpec): Record<string, unknown> {
  const item = typeof field.type === "object"
    ? reference(schemaName(field.type.message))
    : SCALARS[field.type];
  switch (field.shape) {
    case "one":
      // allOf, because nothing may stand beside a $ref.
      return typeof field.type === "object" ? { allOf: [item], default: {} } : item;
    case "map":
      return { type: "object", additionalProperties: item };
    case "list":
      return {
        type: "array",
        items: item,
        ...(field.merge === undefined ? {} : { "x-kubernetes-patch-strategy": "merge" }),
        ...(typeof field.merge === "object"
          ? { "x-kubernetes-patch-merge-key": field.merge.key }
          : {}),
      };
  }
}

const SCALARS: Readonly<Record<ScalarType, Record<string, unknown>>> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  integer: { type: "integer", format: "int64" },
  bytes: { type: "string", format: "byte" },
  time: { type: "string", format: "date-time" },
  microTime: { type: "string", format: "date-time" },
  duration: { type: "string" },
  quantity: { type: "string" },
  intOrString: { type: "string", format: "int-or-string" },
  json: { type: "object" },
  dropped: { type: "object" },
};

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
  const schema = reference(kindName(resource));
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
    "application/apply-patch+yaml": object,
    "application/json-patch+json": object,
    "application/merge-patch+json": object,
    ...(resource.custom === undefined ? { "application/strategic-merge-patch+json": object } : {}),
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
