/** `x-kubernetes-validations` of a schema, checked and compiled. */
import {
  type FieldError,
  forbiddenField,
  invalidValue,
  notSupported,
  required,
} from "../../field_errors.ts";
import type { JsonSchema, ValidationRule } from "../json_schema.ts";
import { ExpressionError } from "./ast.ts";
import { type Run, Scope } from "./compiled.ts";
import { Compiler } from "./compiler.ts";
import { readFieldPath } from "./field_path.ts";
import type { FunctionTable } from "./functions.ts";
import { allFunctions } from "./library/mod.ts";
import { parse } from "./parser.ts";
import { SchemaTypes } from "./schema_types.ts";
import { BOOL, formatType, optionalOf, STRING, type Type } from "./types.ts";

export interface CompiledRule {
  readonly source: ValidationRule;
  readonly run: Run;
  readonly message: Run | undefined;
  /** Runs only where there is a value to compare with, unless it says otherwise. */
  readonly usesOldSelf: boolean;
  /** What is appended to the path of an error. */
  readonly suffix: string;
}

/** The part of a schema that has rules, or has such parts. */
export interface RuleNode {
  readonly schema: JsonSchema;
  readonly isRoot: boolean;
  readonly rules: readonly CompiledRule[];
  readonly properties: ReadonlyMap<string, RuleNode>;
  readonly additional: RuleNode | undefined;
  readonly items: RuleNode | undefined;
}

export interface SchemaRules {
  readonly root: RuleNode;
  readonly types: SchemaTypes;
}

/** Slots of the two names that every rule has. */
export const SELF_SLOT = 0;
export const OLD_SELF_SLOT = 1;

/** Of all rules of one schema, in UTF-16 units: compiling takes about a microsecond for each. */
const MAX_RULES_LENGTH = 262_144;

const REASONS = [
  "FieldValueDuplicate",
  "FieldValueForbidden",
  "FieldValueInvalid",
  "FieldValueRequired",
];

/** What is wrong with the texts of a schema's own rules, before any of them is compiled. */
export function ruleTextErrors(schema: JsonSchema, path: string): FieldError[] {
  return schema.validations.flatMap((rule, i) =>
    textErrors(rule, schema, `${path}.x-kubernetes-validations[${i}]`)
  );
}

function textErrors(rule: ValidationRule, schema: JsonSchema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { message, messageExpression, reason, fieldPath } = rule;
  if (rule.rule.trim() === "") errors.push(required(`${path}.rule`, "rule is not specified"));
  else if (message !== "" && message.trim() === "") {
    errors.push(
      invalidValue(`${path}.message`, message, "message must be non-empty if specified"),
    );
  } else if (message.trim().includes("\n")) {
    errors.push(
      invalidValue(`${path}.message`, message, "message must not contain line breaks"),
    );
  } else if (rule.rule.trim().includes("\n") && message.trim() === "") {
    errors.push(required(
      `${path}.message`,
      "message must be specified if rule contains line breaks",
    ));
  }
  if (messageExpression !== "" && messageExpression.trim() === "") {
    errors.push(required(
      `${path}.messageExpression`,
      "messageExpression must be non-empty if specified",
    ));
  }
  if (reason !== undefined && !REASONS.includes(reason)) {
    errors.push(notSupported(`${path}.reason`, reason, REASONS));
  }
  if (fieldPath !== "") {
    const at = `${path}.fieldPath`;
    if (fieldPath.trim() === "") {
      errors.push(invalidValue(at, fieldPath, "fieldPath must be non-empty if specified"));
    } else if (fieldPath.includes("\n")) {
      errors.push(invalidValue(at, fieldPath, "fieldPath must not contain line breaks"));
    } else {
      const read = readFieldPath(fieldPath, schema);
      if ("problem" in read) {
        errors.push(
          invalidValue(at, fieldPath, `fieldPath must be a valid path: ${read.problem}`),
        );
      }
    }
  }
  return errors;
}

/**
 * Compiles the rules of a schema that is structural. What cannot be compiled stands in `errors`.
 *
 * @returns undefined: it has none.
 */
export function compileRules(
  schema: JsonSchema,
  path: string,
  errors: FieldError[],
): SchemaRules | undefined {
  const length = ruleLength(schema);
  if (length === 0) return undefined;
  if (length > MAX_RULES_LENGTH) {
    const text = `rules of a schema may have ${MAX_RULES_LENGTH} characters at most, not ${length}`;
    errors.push(forbiddenField(path, text));
    return undefined;
  }
  const compilation = new Compilation(errors);
  const root = compilation.node(schema, path, true, undefined);
  return root === undefined ? undefined : { root, types: compilation.types };
}

/** Length of all rules and what makes their messages; 0: there are none. */
function ruleLength(schema: JsonSchema): number {
  const { additionalProperties: additional, items } = schema;
  const below = [
    ...schema.properties.values(),
    ...(typeof additional === "object" ? [additional] : []),
    ...(items === undefined ? [] : [items]),
  ];
  const own = schema.validations.map(({ rule, messageExpression }) =>
    rule.length + messageExpression.length
  );
  return [...own, ...below.map(ruleLength)].reduce((sum, length) => sum + length, 0);
}

class Compilation {
  readonly types = new SchemaTypes();
  readonly #functions: FunctionTable = allFunctions();
  readonly #errors: FieldError[];

  constructor(errors: FieldError[]) {
    this.#errors = errors;
  }

  /** @param uncorrelated the list above whose items have no keys, if there is one */
  node(
    schema: JsonSchema,
    path: string,
    isRoot: boolean,
    uncorrelated: string | undefined,
  ): RuleNode | undefined {
    const rules = this.#rules(schema, path, isRoot, uncorrelated);
    const properties = new Map<string, RuleNode>();
    for (const [name, property] of schema.properties) {
      const at = `${path}.properties[${name}]`;
      const node = this.node(property, at, property.embeddedResource, uncorrelated);
      if (node !== undefined) properties.set(name, node);
    }
    const { additionalProperties: additional, items } = schema;
    const additionalNode = typeof additional !== "object" ? undefined : this.node(
      additional,
      `${path}.additionalProperties`,
      additional.embeddedResource,
      uncorrelated,
    );
    const below = uncorrelated ?? (schema.listType === "map" ? undefined : path);
    const itemNode = items &&
      this.node(items, `${path}.items`, items.embeddedResource, below);
    if (
      rules.length === 0 && properties.size === 0 && additionalNode === undefined &&
      itemNode === undefined
    ) return undefined;
    return { schema, isRoot, rules, properties, additional: additionalNode, items: itemNode };
  }

  #rules(
    schema: JsonSchema,
    path: string,
    isRoot: boolean,
    uncorrelated: string | undefined,
  ): CompiledRule[] {
    if (schema.validations.length === 0) return [];
    const type = this.types.typeOf(schema, isRoot);
    if (type === undefined) {
      this.#errors.push(forbiddenField(
        `${path}.x-kubernetes-validations`,
        "rules cannot see values without a type, or lists and maps of such values",
      ));
      return [];
    }
    return schema.validations.flatMap((rule, i) => {
      const at = `${path}.x-kubernetes-validations[${i}]`;
      const compiled = this.#rule(rule, type, schema, at, uncorrelated);
      return compiled === undefined ? [] : [compiled];
    });
  }

  #rule(
    source: ValidationRule,
    type: Type,
    schema: JsonSchema,
    path: string,
    uncorrelated: string | undefined,
  ): CompiledRule | undefined {
    const old = source.optionalOldSelf === true ? optionalOf(type) : type;
    const rule = this.#expression(source.rule, `${path}.rule`, "", type, old, BOOL);
    const message = source.messageExpression === "" ? undefined : this.#expression(
      source.messageExpression,
      `${path}.messageExpression`,
      "messageExpression ",
      type,
      type,
      STRING,
    );
    if (rule === undefined) return undefined;
    if (rule.usesOldSelf && uncorrelated !== undefined) {
      this.#errors.push(invalidValue(
        `${path}.rule`,
        source.rule,
        `oldSelf cannot be used on the uncorrelatable portion of the schema within ${uncorrelated}`,
      ));
    }
    if (!rule.usesOldSelf && source.optionalOldSelf !== undefined) {
      this.#errors.push(invalidValue(
        `${path}.optionalOldSelf`,
        source.optionalOldSelf,
        "may not be set if oldSelf is not used in rule",
      ));
    }
    const read = readFieldPath(source.fieldPath, schema);
    const suffix = "suffix" in read ? read.suffix : "";
    return { source, run: rule.run, message: message?.run, usesOldSelf: rule.usesOldSelf, suffix };
  }

  #expression(
    text: string,
    path: string,
    what: string,
    self: Type,
    oldSelf: Type,
    wanted: Type,
  ): { run: Run; usesOldSelf: boolean } | undefined {
    const compiler = new Compiler(this.#functions, 2);
    const scope = new Scope(
      new Map([
        ["self", { type: self, slot: SELF_SLOT }],
        ["oldSelf", { type: oldSelf, slot: OLD_SELF_SLOT }],
      ]),
    );
    try {
      const { type, run } = compiler.compile(parse(text), scope);
      if (compiler.bindings.resolve(type) === wanted) {
        return { run, usesOldSelf: compiler.uses("oldSelf") };
      }
      const subject = what === "" ? "cel expression" : what.trim();
      this.#errors.push(
        invalidValue(path, text, `${subject} must evaluate to a ${formatType(wanted)}`),
      );
    } catch (cause) {
      if (!(cause instanceof ExpressionError)) throw cause;
      this.#errors.push(
        invalidValue(path, text, `${what}compilation failed: ${cause.describe(text)}`),
      );
    }
    return undefined;
  }
}
