/**
 * Whether a schema is structural (apiextensions.k8s.io/v1: every field has one type, said outside of
 * allOf, anyOf, oneOf and not), so that objects can be pruned, defaulted and merged by it.
 */
import { RE2JS } from "re2js";
import {
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../field_errors.ts";
import { ruleTextErrors } from "./cel/rules.ts";
import type { JsonSchema } from "./json_schema.ts";
import { applyDefaults, prune } from "./prune.ts";
import { validateValue } from "./values.ts";

const TYPES = ["array", "boolean", "integer", "number", "object", "string"];
const NOT_EMPTY = {
  root: "must not be empty at the root",
  field: "must not be empty for specified object fields",
  item: "must not be empty for specified array items",
} as const;

/** Everything that is wrong with the schema of a version; nothing: it can be used. */
export function structuralErrors(schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.type !== "" && schema.type !== "object") {
    errors.push(invalidValue(`${path}.type`, schema.type, "must be object at the root"));
  }
  const metadata = schema.properties.get("metadata");
  if (
    metadata !== undefined &&
    [...metadata.properties.keys()].some((name) => name !== "name" && name !== "generateName")
  ) {
    errors.push(forbiddenField(
      `${path}.properties[metadata]`,
      "must not specify anything other than name and generateName, but metadata is implicitly specified",
    ));
  }
  visit(schema, path, "root", errors);
  return errors;
}

function visit(
  schema: JsonSchema,
  path: string,
  place: keyof typeof NOT_EMPTY,
  errors: FieldError[],
): void {
  const isAny = schema.intOrString || schema.preserveUnknownFields;
  if (schema.type === "" && !(isAny && place !== "root")) {
    errors.push(required(`${path}.type`, NOT_EMPTY[place]));
  }
  checkCommon(schema, path, errors);
  checkExtensions(schema, path, errors);
  errors.push(...ruleTextErrors(schema, path));
  if (schema.additionalProperties !== undefined && schema.properties.size > 0) {
    errors.push(forbiddenField(
      `${path}.additionalProperties`,
      "additionalProperties and properties are mutual exclusive",
    ));
  }
  if (schema.additionalProperties !== undefined && place === "root") {
    errors.push(forbiddenField(`${path}.additionalProperties`, "must not be used at the root"));
  }
  if (schema.additionalProperties === false) {
    errors.push(forbiddenField(`${path}.additionalProperties`, "must not be false"));
  }
  if (schema.type === "array" && schema.items === undefined) {
    errors.push(required(`${path}.items`, "must be specified"));
  }
  for (const [name, property] of schema.properties) {
    visit(property, `${path}.properties[${name}]`, "field", errors);
  }
  if (typeof schema.additionalProperties === "object") {
    visit(schema.additionalProperties, `${path}.additionalProperties`, "field", errors);
  }
  if (schema.items !== undefined) visit(schema.items, `${path}.items`, "item", errors);
  const nested = nestedOf(schema);
  for (const [where, inner] of nested) {
    checkNested(inner, schema, `${path}.${where}`, schema.intOrString, errors);
  }
  checkDefault(schema, path, errors);
}

/** The schemas that only validate: they may not say what a field is. */
function nestedOf(schema: JsonSchema): [string, JsonSchema][] {
  const list = (name: string, schemas: readonly JsonSchema[]) =>
    schemas.map((inner, i): [string, JsonSchema] => [`${name}[${i}]`, inner]);
  return [
    ...list("allOf", schema.allOf),
    ...list("anyOf", schema.anyOf),
    ...list("oneOf", schema.oneOf),
    ...(schema.not === undefined ? [] : [["not", schema.not] satisfies [string, JsonSchema]]),
  ];
}

function checkNested(
  schema: JsonSchema,
  outer: JsonSchema,
  path: string,
  inIntOrString: boolean,
  errors: FieldError[],
): void {
  checkCommon(schema, path, errors);
  const empty: readonly [string, boolean][] = [
    ["type", schema.type !== "" && !inIntOrString],
    ["title", schema.title !== ""],
    ["description", schema.description !== ""],
    ["default", schema.default !== undefined],
    ["nullable", schema.nullable],
    ["additionalProperties", schema.additionalProperties !== undefined],
    ["x-kubernetes-preserve-unknown-fields", schema.preserveUnknownFields],
    ["x-kubernetes-embedded-resource", schema.embeddedResource],
    ["x-kubernetes-int-or-string", schema.intOrString],
    ["x-kubernetes-list-type", schema.listType !== ""],
    ["x-kubernetes-list-map-keys", schema.listMapKeys.length > 0],
    ["x-kubernetes-map-type", schema.mapType !== ""],
    ["x-kubernetes-validations", schema.validations.length > 0],
  ];
  for (const [name, isSet] of empty) {
    if (isSet) errors.push(forbiddenField(`${path}.${name}`, "must be empty to be structural"));
  }
  for (const [name, property] of schema.properties) {
    const defined = outer.properties.get(name);
    const where = `${path}.properties[${name}]`;
    if (defined === undefined) {
      errors.push(required(where, `because it is defined in ${path}`));
    } else checkNested(property, defined, where, defined.intOrString, errors);
  }
  if (schema.items !== undefined) {
    if (outer.items === undefined) {
      errors.push(required(`${path}.items`, `because it is defined in ${path}`));
    } else {
      checkNested(schema.items, outer.items, `${path}.items`, outer.items.intOrString, errors);
    }
  }
  for (const [where, inner] of nestedOf(schema)) {
    checkNested(inner, outer, `${path}.${where}`, inIntOrString, errors);
  }
}

function checkCommon(schema: JsonSchema, path: string, errors: FieldError[]): void {
  if (schema.type === "null") {
    errors.push(forbiddenField(
      `${path}.type`,
      "type cannot be set to null, use nullable as an alternative",
    ));
  } else if (schema.type !== "" && !TYPES.includes(schema.type)) {
    errors.push(notSupported(`${path}.type`, schema.type, TYPES));
  }
  for (const name of schema.unsupported) {
    errors.push(forbiddenField(`${path}.${name}`, `${name} is not supported`));
  }
  if (schema.uniqueItems) {
    errors.push(forbiddenField(
      `${path}.uniqueItems`,
      "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
    ));
  }
  if (schema.multipleOf !== undefined && schema.multipleOf <= 0) {
    errors.push(invalidValue(`${path}.multipleOf`, schema.multipleOf, "must be greater than 0"));
  }
  if (schema.pattern !== "") {
    try {
      RE2JS.compile(schema.pattern);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message.slice(0, 200) : "unreadable";
      errors.push(invalidValue(
        `${path}.pattern`,
        schema.pattern,
        `must be a valid regular expression, but isn't: ${why}`,
      ));
    }
  }
}

function checkExtensions(schema: JsonSchema, path: string, errors: FieldError[]): void {
  if (schema.intOrString && schema.type !== "") {
    errors.push(forbiddenField(
      `${path}.type`,
      "must be empty if x-kubernetes-int-or-string is true",
    ));
  }
  if (schema.preserveUnknownFields && schema.type !== "object" && schema.type !== "") {
    errors.push(invalidValue(
      `${path}.type`,
      schema.type,
      "must be object if x-kubernetes-preserve-unknown-fields is true",
    ));
  }
  if (schema.embeddedResource) {
    if (schema.type !== "object") {
      errors.push(invalidValue(
        `${path}.type`,
        schema.type,
        "must be object if x-kubernetes-embedded-resource is true",
      ));
    }
    if (schema.properties.size === 0 && !schema.preserveUnknownFields) {
      errors.push(required(
        `${path}.properties`,
        "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
      ));
    }
  }
  checkListType(schema, path, errors);
  const { mapType } = schema;
  if (mapType !== "" && mapType !== "atomic" && mapType !== "granular") {
    errors.push(notSupported(`${path}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
  }
  if (mapType !== "" && schema.type !== "object") {
    errors.push(invalidValue(
      `${path}.type`,
      schema.type,
      "must be object if x-kubernetes-map-type is specified",
    ));
  }
}

function checkListType(schema: JsonSchema, path: string, errors: FieldError[]): void {
  const { listType, listMapKeys, items } = schema;
  const LIST_TYPES = ["atomic", "map", "set"];
  if (listType !== "" && !LIST_TYPES.includes(listType)) {
    errors.push(notSupported(`${path}.x-kubernetes-list-type`, listType, LIST_TYPES));
  }
  if (listType !== "" && schema.type !== "array") {
    errors.push(invalidValue(
      `${path}.type`,
      schema.type,
      "must be array if x-kubernetes-list-type is specified",
    ));
  }
  const keysPath = `${path}.x-kubernetes-list-map-keys`;
  if (listMapKeys.length > 0 && listType !== "map") {
    errors.push(
      invalidValue(
        `${path}.x-kubernetes-list-type`,
        listType,
        "must be map if x-kubernetes-list-map-keys is non-empty",
      ),
    );
  }
  if (listType === "set" && items !== undefined) {
    const isScalar = items.type !== "object" && items.type !== "array";
    const isAtomic = items.type === "object"
      ? items.mapType === "atomic"
      : items.listType === "atomic" || items.listType === "";
    if (items.nullable) {
      errors.push(
        forbiddenField(
          `${path}.items.nullable`,
          "cannot be nullable when x-kubernetes-list-type is set",
        ),
      );
    }
    if (!isScalar && !isAtomic) {
      errors.push(invalidValue(
        `${path}.items.x-kubernetes-map-type`,
        items.mapType,
        "must be atomic as item of a list with x-kubernetes-list-type=set",
      ));
    }
  }
  if (listType !== "map") return;
  if (listMapKeys.length === 0) {
    errors.push(required(keysPath, "must not be empty if x-kubernetes-list-type is map"));
  }
  if (items !== undefined && items.type !== "object") {
    errors.push(invalidValue(
      `${path}.items.type`,
      items.type,
      "must be object if parent array's x-kubernetes-list-type is map",
    ));
  }
  if (new Set(listMapKeys).size !== listMapKeys.length) {
    errors.push(invalidValue(keysPath, listMapKeys, "must not contain duplicate entries"));
  }
  for (const [i, key] of listMapKeys.entries()) {
    const property = items?.properties.get(key);
    if (property === undefined) {
      errors.push(invalidValue(
        `${keysPath}[${i}]`,
        key,
        "entries must all be names of item properties",
      ));
    } else if (property.type === "object" || property.type === "array") {
      errors.push(invalidValue(
        `${path}.items.properties[${key}].type`,
        property.type,
        "must be a scalar type if parent array's x-kubernetes-list-type is map",
      ));
    } else if (property.default === undefined && items?.required.includes(key) === false) {
      errors.push(required(
        `${path}.items.properties[${key}].default`,
        "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
      ));
    }
  }
}

/** A default must be what it would be in an object: pruned and valid. */
function checkDefault(schema: JsonSchema, path: string, errors: FieldError[]): void {
  if (schema.default === undefined || errors.length > 0) return;
  const value = applyDefaults(structuredClone(schema.default.value), schema);
  if (prune(structuredClone(value), schema, false).length > 0) {
    errors.push(invalidValue(`${path}.default`, schema.default.value, "must be pruned"));
  }
  errors.push(...validateValue(value, schema, `${path}.default`));
}
