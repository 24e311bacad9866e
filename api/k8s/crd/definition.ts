/** `spec` of a CustomResourceDefinition: decoded, checked, and made into the kinds it defines. */
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../field_errors.ts";
import { type JsonPath, parseJsonPath, plainFields } from "../json_path.ts";
import { isDns1035Label, isDns1123Subdomain } from "../names.ts";
import type { KubernetesObject } from "../objects.ts";
import { isRecord } from "../plain.ts";
import type { PrinterColumn, ScalePaths } from "../resources.ts";
import { compileRules, type SchemaRules } from "./cel/rules.ts";
import { defaultErrors } from "./cel/validate.ts";
import { decodeJsonSchema, type JsonSchema } from "./json_schema.ts";
import { structuralErrors } from "./structural.ts";

type Json = Readonly<Record<string, unknown>>;

export interface DefinedNames {
  readonly plural: string;
  readonly singular: string;
  readonly kind: string;
  readonly listKind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
}

export interface DefinedVersion {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly deprecated: boolean;
  readonly deprecationWarning: string | undefined;
  readonly schema: JsonSchema;
  /** What `x-kubernetes-validations` of the schema comes to; undefined: there are none. */
  readonly rules: SchemaRules | undefined;
  /** The schema as it was written. */
  readonly published: Json;
  readonly hasStatus: boolean;
  readonly scale: ScalePaths | undefined;
  readonly columns: readonly PrinterColumn[];
  readonly selectableFields: readonly string[];
}

export interface Definition {
  readonly group: string;
  readonly names: DefinedNames;
  readonly scope: string;
  readonly versions: readonly DefinedVersion[];
}

const COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS = [
  "",
  "int32",
  "int64",
  "float",
  "double",
  "byte",
  "binary",
  "date",
  "date-time",
  "password",
  "name",
];
const MAX_SELECTABLE_FIELDS = 8;
const DNS1035 =
  "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";

function record(value: unknown): Json {
  return isRecord(value) ? value : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Names as they stand in `spec.names` or `status.acceptedNames`; types were checked before. */
export function decodeNames(value: unknown): DefinedNames {
  const names = record(value);
  return {
    plural: text(names["plural"]),
    singular: text(names["singular"]),
    kind: text(names["kind"]),
    listKind: text(names["listKind"]),
    shortNames: texts(names["shortNames"]),
    categories: texts(names["categories"]),
  };
}

/** What the API server fills in: singular, listKind, conversion, scopes of columns. */
export function defaultedSpec(spec: unknown): Json {
  const given = record(spec);
  const names = record(given["names"]);
  const kind = text(names["kind"]);
  return {
    ...given,
    names: {
      ...names,
      ...(text(names["singular"]) === "" ? { singular: kind.toLowerCase() } : {}),
      ...(text(names["listKind"]) === "" && kind !== "" ? { listKind: `${kind}List` } : {}),
    },
    ...(given["conversion"] === undefined || given["conversion"] === null
      ? { conversion: { strategy: "None" } }
      : {}),
  };
}

/** Decodes and checks `spec`; with problems in `errors`, the answer is not to be used. */
export function decodeDefinition(object: KubernetesObject, errors: FieldError[]): Definition {
  const spec = record(object["spec"]);
  const group = text(spec["group"]);
  const names = decodeNames(spec["names"]);
  const scope = text(spec["scope"]);
  checkGroup(group, object, errors);
  checkNames(names, "spec.names", errors);
  if (object.metadata.name !== `${names.plural}.${group}`) {
    errors.push(invalidValue(
      "metadata.name",
      object.metadata.name,
      'must be spec.names.plural+"."+spec.group',
    ));
  }
  if (scope === "") errors.push(required("spec.scope"));
  else if (scope !== "Cluster" && scope !== "Namespaced") {
    errors.push(notSupported("spec.scope", scope, ["Cluster", "Namespaced"]));
  }
  if (spec["preserveUnknownFields"] === true) {
    errors.push(invalidValue(
      "spec.preserveUnknownFields",
      true,
      "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
    ));
  }
  const { strategy } = record(spec["conversion"]);
  if (strategy === "Webhook") {
    errors.push(forbiddenField(
      "spec.conversion.strategy",
      "this server calls no webhooks: versions are converted by None",
    ));
  } else if (strategy !== "None") {
    errors.push(notSupported("spec.conversion.strategy", strategy, ["None", "Webhook"]));
  }
  const given = list(spec["versions"]);
  const versions = given.map((version, i) =>
    decodeVersion(record(version), `spec.versions[${i}]`, errors)
  );
  const seen = new Set(versions.map(({ name }) => name));
  if (seen.size !== versions.length) {
    errors.push(invalidValue(
      "spec.versions",
      versions.map(({ name }) => name),
      "must contain unique version names",
    ));
  }
  if (versions.filter(({ storage }) => storage).length !== 1) {
    errors.push(invalidValue(
      "spec.versions",
      versions.map(({ name }) => name),
      "must have exactly one version marked as storage version",
    ));
  }
  return { group, names, scope, versions };
}

function checkGroup(group: string, object: KubernetesObject, errors: FieldError[]): void {
  if (group === "") errors.push(required("spec.group"));
  else if (!isDns1123Subdomain(group)) {
    errors.push(invalidValue("spec.group", group, "must be a lowercase RFC 1123 subdomain"));
  } else if (!group.includes(".")) {
    errors.push(invalidValue("spec.group", group, "should be a domain with at least one dot"));
  } else if (/(^|\.)(k8s|kubernetes)\.io$/.test(group)) {
    const approval = "api-approved.kubernetes.io";
    if ((object.metadata.annotations?.[approval] ?? "") === "") {
      errors.push(required(
        `metadata.annotations[${approval}]`,
        `protected groups must have approval annotation "${approval}", see https://github.com/kubernetes/enhancements/pull/1111`,
      ));
    }
  }
}

function checkNames(names: DefinedNames, path: string, errors: FieldError[]): void {
  const label = (field: string, value: string) => {
    if (value === "") errors.push(required(`${path}.${field}`));
    else if (!isDns1035Label(value)) {
      errors.push(invalidValue(`${path}.${field}`, value, DNS1035));
    }
  };
  label("plural", names.plural);
  label("singular", names.singular);
  for (const [field, value] of [["kind", names.kind], ["listKind", names.listKind]] as const) {
    if (value === "") errors.push(required(`${path}.${field}`));
    else if (!isDns1035Label(value.toLowerCase())) {
      errors.push(invalidValue(
        `${path}.${field}`,
        value,
        `may have mixed case, but should otherwise match: ${DNS1035}`,
      ));
    }
  }
  if (names.kind !== "" && names.kind === names.listKind) {
    errors.push(invalidValue(
      `${path}.listKind`,
      names.listKind,
      "kind and listKind may not be the same",
    ));
  }
  for (const field of ["shortNames", "categories"] as const) {
    names[field].forEach((value, i) => {
      if (!isDns1035Label(value)) {
        errors.push(invalidValue(`${path}.${field}[${i}]`, value, DNS1035));
      }
    });
  }
}

function decodeVersion(version: Json, path: string, errors: FieldError[]): DefinedVersion {
  const name = text(version["name"]);
  if (!isDns1035Label(name)) errors.push(invalidValue(`${path}.name`, name, DNS1035));
  const given = record(version["schema"])["openAPIV3Schema"];
  const schemaPath = `${path}.schema.openAPIV3Schema`;
  if (given === undefined || given === null) {
    errors.push(required(schemaPath, "schemas are required"));
  }
  const before = errors.length;
  const schema = decodeJsonSchema(given ?? {}, schemaPath, errors);
  if (errors.length === before && given !== undefined && given !== null) {
    errors.push(...structuralErrors(schema, schemaPath));
  }
  const rules = errors.length === before ? compileRules(schema, schemaPath, errors) : undefined;
  if (rules !== undefined && errors.length === before) {
    errors.push(...defaultErrors(rules.root, rules.types, schemaPath));
  }
  const deprecationWarning = version["deprecationWarning"];
  if (typeof deprecationWarning === "string") {
    const warningPath = `${path}.deprecationWarning`;
    if (version["deprecated"] !== true) {
      errors.push(
        invalidValue(warningPath, deprecationWarning, "can only be set for deprecated versions"),
      );
    }
    // deno-lint-ignore no-control-regex
    if (deprecationWarning.length > 256 || /[\u0000-\u001f\u007f]/.test(deprecationWarning)) {
      errors.push(
        invalidValue(
          warningPath,
          deprecationWarning.slice(0, 256),
          "must be 256 printable characters at most",
        ),
      );
    }
  }
  const subresources = record(version["subresources"]);
  return {
    name,
    served: version["served"] === true,
    storage: version["storage"] === true,
    deprecated: version["deprecated"] === true,
    deprecationWarning: typeof deprecationWarning === "string" ? deprecationWarning : undefined,
    schema,
    rules,
    published: record(given),
    hasStatus: isRecord(subresources["status"]),
    scale: decodeScale(subresources["scale"], `${path}.subresources.scale`, errors),
    columns: decodeColumns(version["additionalPrinterColumns"], path, errors),
    selectableFields: decodeSelectable(version["selectableFields"], schema, path, errors),
  };
}

function pathOf(value: unknown, path: string, errors: FieldError[]): JsonPath {
  const written = text(value);
  if (written === "") {
    errors.push(required(path));
    return [];
  }
  const parsed = parseJsonPath(written);
  if (typeof parsed !== "string") return parsed;
  errors.push(invalidValue(path, written, `must be a valid json path: ${parsed}`));
  return [];
}

function decodeColumns(value: unknown, path: string, errors: FieldError[]): PrinterColumn[] {
  return list(value).map((item, i) => {
    const column = record(item);
    const here = `${path}.additionalPrinterColumns[${i}]`;
    const name = text(column["name"]);
    const type = text(column["type"]);
    const format = text(column["format"]);
    if (name === "") errors.push(required(`${here}.name`));
    if (type === "") {
      errors.push(required(`${here}.type`, `must be one of ${COLUMN_TYPES.join(",")}`));
    } else if (!COLUMN_TYPES.includes(type)) {
      errors.push(
        invalidValue(`${here}.type`, type, `must be one of ${COLUMN_TYPES.join(",")}`),
      );
    }
    if (!COLUMN_FORMATS.includes(format)) {
      errors.push(invalidValue(
        `${here}.format`,
        format,
        `must be one of ${COLUMN_FORMATS.slice(1).join(",")}`,
      ));
    }
    const { priority } = column;
    return {
      name,
      type,
      format,
      description: text(column["description"]),
      priority: typeof priority === "number" ? priority : 0,
      path: pathOf(column["jsonPath"], `${here}.jsonPath`, errors),
    };
  });
}

function decodeScale(value: unknown, path: string, errors: FieldError[]): ScalePaths | undefined {
  if (!isRecord(value)) return undefined;
  const fields = (name: string, roots: readonly string[]): readonly string[] => {
    const found = plainFields(pathOf(value[name], `${path}.${name}`, errors));
    if (found === undefined || (found.length > 0 && !roots.includes(found[0] ?? ""))) {
      const allowed = roots.map((root) => `.${root}`).join(" or ");
      errors.push(invalidValue(
        `${path}.${name}`,
        value[name],
        `should be a json path under ${allowed}, without array notation`,
      ));
    }
    return found ?? [];
  };
  const selector = text(value["labelSelectorPath"]);
  return {
    specReplicas: fields("specReplicasPath", ["spec"]),
    statusReplicas: fields("statusReplicasPath", ["status"]),
    labelSelector: selector === "" ? undefined : fields("labelSelectorPath", ["status", "spec"]),
  };
}

/** Paths without the first dot, as they stand in a field selector. */
function decodeSelectable(
  value: unknown,
  schema: JsonSchema,
  path: string,
  errors: FieldError[],
): string[] {
  const seen = new Set<string>();
  const given = list(value);
  if (given.length > MAX_SELECTABLE_FIELDS) {
    errors.push(forbiddenField(
      `${path}.selectableFields`,
      `must have at most ${MAX_SELECTABLE_FIELDS} items`,
    ));
  }
  return given.flatMap((item, i) => {
    const here = `${path}.selectableFields[${i}].jsonPath`;
    const names = plainFields(pathOf(record(item)["jsonPath"], here, errors));
    if (names === undefined || names.length === 0) return [];
    const name = names.join(".");
    if (seen.has(name)) errors.push(duplicate(here, `.${name}`));
    seen.add(name);
    let field: JsonSchema | undefined = schema;
    for (const step of names) field = field?.properties.get(step);
    if (
      names[0] === "metadata" || !["string", "integer", "boolean"].includes(field?.type ?? "")
    ) {
      errors.push(invalidValue(
        here,
        `.${name}`,
        "is an invalid path: must be a field of the schema of type string, integer or boolean, and not of metadata",
      ));
    }
    return [name];
  });
}
