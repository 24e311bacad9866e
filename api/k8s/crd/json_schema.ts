/**
 * JSONSchemaProps of apiextensions.k8s.io/v1, decoded: what a CustomResourceDefinition says about its
 * objects. Types are checked here; what may stand together is the business of structural.ts.
 */
import { type FieldError, invalidValue } from "../field_errors.ts";
import { isRecord } from "../plain.ts";

/** One of `x-kubernetes-validations`; absent texts are empty. */
export interface ValidationRule {
  readonly rule: string;
  readonly message: string;
  readonly messageExpression: string;
  readonly reason: string | undefined;
  readonly fieldPath: string;
  readonly optionalOldSelf: boolean | undefined;
}

export interface JsonSchema {
  readonly type: string;
  readonly format: string;
  readonly title: string;
  readonly description: string;
  readonly nullable: boolean;
  /** Undefined: there is none; null is one. */
  readonly default: { readonly value: unknown } | undefined;
  readonly maximum: number | undefined;
  readonly exclusiveMaximum: boolean;
  readonly minimum: number | undefined;
  readonly exclusiveMinimum: boolean;
  readonly maxLength: number | undefined;
  readonly minLength: number | undefined;
  readonly pattern: string;
  readonly maxItems: number | undefined;
  readonly minItems: number | undefined;
  readonly uniqueItems: boolean;
  readonly multipleOf: number | undefined;
  readonly enum: readonly unknown[] | undefined;
  readonly maxProperties: number | undefined;
  readonly minProperties: number | undefined;
  readonly required: readonly string[];
  readonly items: JsonSchema | undefined;
  readonly allOf: readonly JsonSchema[];
  readonly oneOf: readonly JsonSchema[];
  readonly anyOf: readonly JsonSchema[];
  readonly not: JsonSchema | undefined;
  readonly properties: ReadonlyMap<string, JsonSchema>;
  readonly additionalProperties: JsonSchema | boolean | undefined;
  readonly preserveUnknownFields: boolean;
  readonly embeddedResource: boolean;
  readonly intOrString: boolean;
  readonly listType: string;
  readonly listMapKeys: readonly string[];
  readonly mapType: string;
  readonly validations: readonly ValidationRule[];
  /** Fields that are there and that a CustomResourceDefinition must not have. */
  readonly unsupported: readonly string[];
}

const UNSUPPORTED = [
  "$ref",
  "id",
  "$schema",
  "patternProperties",
  "dependencies",
  "additionalItems",
  "definitions",
];

/** Reads fields of one JSON object; the first wrong type stands in `errors`. */
class Fields {
  constructor(
    readonly object: Readonly<Record<string, unknown>>,
    readonly path: string,
    readonly errors: FieldError[],
  ) {}

  #read<T>(name: string, what: string, otherwise: T, is: (value: unknown) => value is T): T {
    const value = Object.hasOwn(this.object, name) ? this.object[name] : undefined;
    if (value === undefined || value === null) return otherwise;
    if (is(value)) return value;
    this.errors.push(invalidValue(`${this.path}.${name}`, value, `must be ${what}`));
    return otherwise;
  }

  text(name: string): string {
    return this.#read(name, "a string", "", (value) => typeof value === "string");
  }

  flag(name: string): boolean {
    return this.optionalFlag(name) ?? false;
  }

  optionalFlag(name: string): boolean | undefined {
    return this.#read<boolean | undefined>(
      name,
      "a boolean",
      undefined,
      (value) => typeof value === "boolean",
    );
  }

  number(name: string): number | undefined {
    return this.#read<number | undefined>(
      name,
      "a number",
      undefined,
      (value) => typeof value === "number",
    );
  }

  count(name: string): number | undefined {
    return this.#read<number | undefined>(
      name,
      "a non-negative integer",
      undefined,
      (value): value is number =>
        typeof value === "number" && Number.isSafeInteger(value) && value >= 0,
    );
  }

  list(name: string): readonly unknown[] | undefined {
    return this.#read<readonly unknown[] | undefined>(
      name,
      "a list",
      undefined,
      (value) => Array.isArray(value),
    );
  }

  texts(name: string): readonly string[] {
    return this.#read<readonly string[]>(
      name,
      "a list of strings",
      [],
      (value): value is string[] =>
        Array.isArray(value) && value.every((item) => typeof item === "string"),
    );
  }

  schemas(name: string): readonly JsonSchema[] {
    return (this.list(name) ?? []).map((item, i) =>
      decodeJsonSchema(item, `${this.path}.${name}[${i}]`, this.errors)
    );
  }

  schema(name: string): JsonSchema | undefined {
    const value = Object.hasOwn(this.object, name) ? this.object[name] : undefined;
    if (value === undefined || value === null) return undefined;
    return decodeJsonSchema(value, `${this.path}.${name}`, this.errors);
  }

  validations(): readonly ValidationRule[] {
    const name = "x-kubernetes-validations";
    return (this.list(name) ?? []).map((item, i) => {
      const path = `${this.path}.${name}[${i}]`;
      if (!isRecord(item)) this.errors.push(invalidValue(path, item, "must be an object"));
      const fields = new Fields(isRecord(item) ? item : {}, path, this.errors);
      const reason = fields.text("reason");
      return {
        rule: fields.text("rule"),
        message: fields.text("message"),
        messageExpression: fields.text("messageExpression"),
        reason: reason === "" ? undefined : reason,
        fieldPath: fields.text("fieldPath"),
        optionalOldSelf: fields.optionalFlag("optionalOldSelf"),
      };
    });
  }

  record(name: string): Readonly<Record<string, unknown>> {
    return this.#read<Readonly<Record<string, unknown>>>(name, "an object", {}, isRecord);
  }
}

/** Problems are appended to `errors`; what is wrong is left out of the answer. */
export function decodeJsonSchema(value: unknown, path: string, errors: FieldError[]): JsonSchema {
  if (!isRecord(value)) errors.push(invalidValue(path, value, "must be an object"));
  const object = isRecord(value) ? value : {};
  const fields = new Fields(object, path, errors);
  const additional = object["additionalProperties"];
  return {
    type: fields.text("type"),
    format: fields.text("format"),
    title: fields.text("title"),
    description: fields.text("description"),
    nullable: fields.flag("nullable"),
    default: Object.hasOwn(object, "default") && object["default"] !== null
      ? { value: object["default"] }
      : undefined,
    maximum: fields.number("maximum"),
    exclusiveMaximum: fields.flag("exclusiveMaximum"),
    minimum: fields.number("minimum"),
    exclusiveMinimum: fields.flag("exclusiveMinimum"),
    maxLength: fields.count("maxLength"),
    minLength: fields.count("minLength"),
    pattern: fields.text("pattern"),
    maxItems: fields.count("maxItems"),
    minItems: fields.count("minItems"),
    uniqueItems: fields.flag("uniqueItems"),
    multipleOf: fields.number("multipleOf"),
    enum: fields.list("enum"),
    maxProperties: fields.count("maxProperties"),
    minProperties: fields.count("minProperties"),
    required: fields.texts("required"),
    items: fields.schema("items"),
    allOf: fields.schemas("allOf"),
    oneOf: fields.schemas("oneOf"),
    anyOf: fields.schemas("anyOf"),
    not: fields.schema("not"),
    properties: new Map(
      Object.entries(fields.record("properties")).map(([name, property]) => [
        name,
        decodeJsonSchema(property, `${path}.properties[${name}]`, errors),
      ]),
    ),
    additionalProperties: typeof additional === "boolean"
      ? additional
      : fields.schema("additionalProperties"),
    preserveUnknownFields: fields.flag("x-kubernetes-preserve-unknown-fields"),
    embeddedResource: fields.flag("x-kubernetes-embedded-resource"),
    intOrString: fields.flag("x-kubernetes-int-or-string"),
    listType: fields.text("x-kubernetes-list-type"),
    listMapKeys: fields.texts("x-kubernetes-list-map-keys"),
    mapType: fields.text("x-kubernetes-map-type"),
    validations: fields.validations(),
    unsupported: UNSUPPORTED.filter((name) => {
      const field = Object.hasOwn(object, name) ? object[name] : undefined;
      return field !== undefined && field !== null && field !== "" &&
        !(Array.isArray(field) && field.length === 0);
    }),
  };
}
