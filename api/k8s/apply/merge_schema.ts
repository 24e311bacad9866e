/**
 * How values of a kind are merged and owned (structured-merge-diff): which lists are maps or sets, and
 * what is one thing for all its fields. Made from the messages of the built-in kinds, or from the schema
 * of a custom one.
 */
import type { JsonSchema } from "../crd/json_schema.ts";
import type { ResourceDefinition } from "../resources.ts";
import type { FieldSpec, KindSchemas, MessageSpec } from "../schema.ts";

export type MergeSchema =
  /** A scalar, or anything that is replaced as a whole. */
  | { readonly kind: "atomic" }
  /** A struct, or a map: `named` tells the fields of a struct from the keys of a map. */
  | {
    readonly kind: "map";
    field(name: string): MergeSchema;
    isNamed(name: string): boolean;
  }
  /** A list of scalars, each of them once. */
  | { readonly kind: "set" }
  /** A list whose items are told apart by some of their fields. */
  | {
    readonly kind: "keyed";
    readonly keys: readonly string[];
    /** Values of keys that an item may leave out. */
    readonly defaults: Readonly<Record<string, unknown>>;
    readonly item: MergeSchema;
  };

export const ATOMIC: MergeSchema = Object.freeze({ kind: "atomic" });

/** Without a schema: maps by their keys, lists as a whole. */
export const DEDUCED: MergeSchema = Object.freeze({
  kind: "map",
  field: () => DEDUCED,
  isNamed: () => false,
});

/** Lists with more than the key of their strategic merge, or with another type than it suggests. */
const LISTS: Readonly<
  Record<string, readonly string[] | "set" | "atomic">
> = {
  "Container.ports": ["containerPort", "protocol"],
  "EphemeralContainer.ports": ["containerPort", "protocol"],
  "ServiceSpec.ports": ["port", "protocol"],
  "PodSpec.topologySpreadConstraints": ["topologyKey", "whenUnsatisfiable"],
  "PodStatus.podIPs": ["ip"],
  "PodStatus.hostIPs": "atomic",
  "NodeStatus.addresses": ["type"],
  "NodeSpec.podCIDRs": "set",
  "ObjectMeta.ownerReferences": ["uid"],
  "ObjectMeta.finalizers": "set",
  "ResourceRequirements.claims": ["name"],
  "CustomResourceDefinitionNames.shortNames": "atomic",
  "CustomResourceDefinitionNames.categories": "atomic",
};

const KEY_DEFAULTS: Readonly<Record<string, unknown>> = { protocol: "TCP" };

/** Messages that are replaced as a whole (`x-kubernetes-map-type: atomic`). */
const ATOMIC_MESSAGES: ReadonlySet<string> = new Set([
  "ConfigMapKeySelector",
  "FileKeySelector",
  "LabelSelector",
  "LocalObjectReference",
  "NodeSelector",
  "NodeSelectorTerm",
  "ObjectFieldSelector",
  "ObjectReference",
  "OwnerReference",
  "ResourceFieldSelector",
  "RoleRef",
  "ScopeSelector",
  "ScopedResourceSelectorRequirement",
  "SecretKeySelector",
  "SecretReference",
  "Subject",
  "TopologySelectorTerm",
  "TypedLocalObjectReference",
  "EndpointAddress",
  "EndpointPort",
  "JSONSchemaProps",
]);

/** Maps that are replaced as a whole. */
const ATOMIC_MAPS: ReadonlySet<string> = new Set([
  "ServiceSpec.selector",
  "PodSpec.nodeSelector",
  "ReplicationControllerSpec.selector",
]);

/** The schema of a whole object of the kind. */
export function mergeSchemaOf(resource: ResourceDefinition, schemas: KindSchemas): MergeSchema {
  if (resource.custom === undefined) {
    const message = schemas.message(resource.kind);
    return message === undefined ? DEDUCED : ofMessage(message, schemas);
  }
  const own = ofJsonSchema(resource.custom.schema);
  const metadata = schemas.message("ObjectMeta");
  if (own.kind !== "map" || metadata === undefined) return own;
  const meta = ofMessage(metadata, schemas);
  return {
    kind: "map",
    field: (name) => name === "metadata" ? meta : own.field(name),
    isNamed: (name) => TYPE_FIELDS.includes(name) || own.isNamed(name),
  };
}

const TYPE_FIELDS = ["apiVersion", "kind", "metadata"];

function ofMessage(message: MessageSpec, schemas: KindSchemas): MergeSchema {
  if (ATOMIC_MESSAGES.has(message.name)) return ATOMIC;
  const isObject = message.byName.has("metadata");
  return {
    kind: "map",
    field(name) {
      const field = message.byName.get(name);
      return field === undefined ? DEDUCED : ofField(`${message.name}.${name}`, field, schemas);
    },
    isNamed: (name) => message.byName.has(name) || (isObject && TYPE_FIELDS.includes(name)),
  };
}

function ofField(place: string, field: FieldSpec, schemas: KindSchemas): MergeSchema {
  const one = ofType(field.type, schemas);
  switch (field.shape) {
    case "one":
      return one;
    case "map":
      return ATOMIC_MAPS.has(place)
        ? ATOMIC
        : { kind: "map", field: () => one, isNamed: () => false };
    case "list": {
      const listType = LISTS[place] ??
        (typeof field.merge === "object" ? [field.merge.key] : field.merge ?? "atomic");
      if (listType === "atomic") return ATOMIC;
      if (listType === "set") return { kind: "set" };
      const defaults = Object.fromEntries(
        listType.filter((key) => Object.hasOwn(KEY_DEFAULTS, key)).map((
          key,
        ) => [key, KEY_DEFAULTS[key]]),
      );
      return { kind: "keyed", keys: listType, defaults, item: one };
    }
  }
}

function ofType(type: FieldSpec["type"], schemas: KindSchemas): MergeSchema {
  if (typeof type === "string") return type === "json" ? DEDUCED : ATOMIC;
  const message = schemas.message(type.message);
  return message === undefined ? DEDUCED : ofMessage(message, schemas);
}

function ofJsonSchema(schema: JsonSchema): MergeSchema {
  if (schema.type === "array") {
    const { items } = schema;
    switch (schema.listType) {
      case "set":
        return { kind: "set" };
      case "map": {
        const defaults: Record<string, unknown> = {};
        for (const key of schema.listMapKeys) {
          const given = items?.properties.get(key)?.default;
          if (given !== undefined) defaults[key] = given.value;
        }
        const item = items === undefined ? DEDUCED : ofJsonSchema(items);
        return { kind: "keyed", keys: schema.listMapKeys, defaults, item };
      }
    }
    return ATOMIC;
  }
  if (schema.type !== "object") return schema.preserveUnknownFields ? DEDUCED : ATOMIC;
  if (schema.mapType === "atomic") return ATOMIC;
  const { additionalProperties } = schema;
  return {
    kind: "map",
    field(name) {
      const property = schema.properties.get(name);
      if (property !== undefined) return ofJsonSchema(property);
      return typeof additionalProperties === "object"
        ? ofJsonSchema(additionalProperties)
        : DEDUCED;
    },
    isNamed: (name) => schema.properties.has(name),
  };
}
