/**
 * Checks an expression and makes it a function (cel-spec, langdef.md, "Gradual Type Checking" and
 * "Evaluation"). Each step of the function pays the meter.
 */
import { ExpressionError, type Node, qualifiedName } from "./ast.ts";
import {
  type Compiled,
  type Compiling,
  decide,
  fieldOf,
  mapKey,
  presentValue,
  type Run,
  type Scope,
} from "./compiled.ts";
import { compileMacro } from "./macros.ts";
import { Arguments, type FunctionTable, isOfType, type Overload } from "./functions.ts";
import { Meter, RULE_COST_LIMIT } from "./meter.ts";
import {
  Bindings,
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  formatType,
  INT,
  listOf,
  mapOf,
  NULL,
  optionalOf,
  STRING,
  TIMESTAMP,
  type Type,
} from "./types.ts";
import {
  EvaluationError,
  ListValue,
  type MapKey,
  MapValue,
  noSuchOverload,
  OptionalValue,
  typeName,
  TypeValue,
  type Value,
} from "./values.ts";

const TYPE_NAMES: ReadonlyMap<string, Type> = new Map<string, Type>([
  ["int", INT],
  ["double", DOUBLE],
  ["string", STRING],
  ["bool", BOOL],
  ["bytes", BYTES],
  ["null_type", NULL],
  ["list", listOf(DYN)],
  ["map", mapOf(DYN, DYN)],
  ["type", { kind: "type", of: DYN }],
  ["optional_type", optionalOf(DYN)],
  ["google.protobuf.Duration", DURATION],
  ["google.protobuf.Timestamp", TIMESTAMP],
]);

export class Compiler implements Compiling {
  readonly bindings = new Bindings();
  readonly #functions: FunctionTable;
  readonly #used = new Set<string>();
  #slots: number;

  /** @param slots how many the first frame has */
  constructor(functions: FunctionTable, slots: number) {
    this.#functions = functions;
    this.#slots = slots;
  }

  /** Whether the expression names the variable. */
  uses(name: string): boolean {
    return this.#used.has(name);
  }

  newSlot(): number {
    return this.#slots++;
  }

  /** @throws {ExpressionError} */
  compile(node: Node, scope: Scope): Compiled {
    switch (node.kind) {
      case "constant":
        return this.#constant(node.value);
      case "name":
      case "select":
        return this.#qualified(node, scope) ?? this.#select(node, scope);
      case "call":
        return compileMacro(this, node, scope) ?? this.#call(node, scope);
      case "list":
        return this.#list(node, scope);
      case "map":
        return this.#map(node, scope);
      case "logic":
        return this.#logic(node, scope);
      case "choice":
        return this.#choice(node, scope);
    }
  }

  #constant(value: Value): Compiled {
    const name = typeName(value);
    return { type: TYPE_NAMES.get(name) ?? DYN, run: () => value };
  }

  #qualified(node: Node, scope: Scope): Compiled | undefined {
    if (node.kind === "name") {
      const variable = scope.find(node.name);
      if (variable !== undefined) {
        this.#used.add(node.name);
        const { slot, type } = variable;
        return {
          type,
          run: ({ slots, meter }) => {
            meter.spend(1);
            const value = slots[slot];
            if (value === undefined) {
              throw new EvaluationError(`no such attribute(s): ${node.name}`);
            }
            return value;
          },
        };
      }
    }
    const name = qualifiedName(node);
    if (name === undefined || this.isVariable(name, scope)) return undefined;
    const type = TYPE_NAMES.get(name);
    if (type !== undefined) {
      const value = new TypeValue(name);
      return { type: { kind: "type", of: type }, run: () => value };
    }
    if (node.kind !== "name") return undefined;
    throw new ExpressionError(`undeclared reference to '${name}' (in container '')`, node.at);
  }

  /** Whether the first word of a qualified name is a variable. */
  isVariable(name: string, scope: Scope): boolean {
    return scope.find(name.split(".", 1)[0] ?? "") !== undefined;
  }

  #select(node: Node, scope: Scope): Compiled {
    if (node.kind !== "select") throw new TypeError("not a selection");
    const operand = this.compile(node.operand, scope);
    const { field } = node;
    const type = this.fieldType(operand.type, field, node);
    const isOptional = operand.type.kind === "optional";
    return {
      type: isOptional || node.optional ? optionalOf(type) : type,
      run: (frame) => {
        const value = operand.run(frame);
        frame.meter.spend(1);
        if (isOptional || node.optional || value instanceof OptionalValue) {
          const from = value instanceof OptionalValue ? value.value : value;
          return new OptionalValue(from === undefined ? undefined : fieldOf(from, field));
        }
        const found = fieldOf(value, field);
        if (found === undefined) throw new EvaluationError(`no such key: ${field}`);
        return found;
      },
    };
  }

  /** @throws {ExpressionError} where no value of the type has the field. */
  fieldType(operand: Type, field: string, node: Node): Type {
    const type = this.bindings.resolve(operand);
    switch (type.kind) {
      case "dyn":
      case "variable":
        return DYN;
      case "map":
        return type.value;
      case "optional":
        return this.fieldType(type.item, field, node);
      case "object": {
        const found = type.field(field);
        if (found !== undefined) return found;
        throw new ExpressionError(`undefined field '${field}'`, node.at);
      }
      default:
        throw new ExpressionError(
          `type '${formatType(type)}' does not support field selection`,
          node.at,
        );
    }
  }

  #call(node: Node, scope: Scope): Compiled {
    if (node.kind !== "call") throw new TypeError("not a call");
    const space = node.target === undefined ? undefined : qualifiedName(node.target);
    const full = `${space}.${node.name}`;
    if (space !== undefined && !this.isVariable(space, scope) && this.#functions.has(full)) {
      return this.#applied(full, false, node, scope, node.args);
    }
    const nodes = node.target === undefined ? node.args : [node.target, ...node.args];
    return this.#applied(node.name, node.target !== undefined, node, scope, nodes);
  }

  #applied(
    name: string,
    member: boolean,
    node: Node,
    scope: Scope,
    nodes: readonly Node[],
  ): Compiled {
    // What a text is formatted with may be of all types.
    const args = nodes.map((arg, i) =>
      name === "format" && member && i === 1 && arg.kind === "list"
        ? this.#list(arg, scope, true)
        : this.compile(arg, scope)
    );
    const declared = this.#functions.get(name);
    if (declared === undefined) {
      throw new ExpressionError(`undeclared reference to '${name}' (in container '')`, node.at);
    }
    const candidates: Overload[] = [];
    const results: Type[] = [];
    for (const overload of declared) {
      if (overload.member !== member || overload.parameters.length !== args.length) continue;
      const fresh = new Map<string, Type>();
      const instantiate = (type: Type): Type => this.bindings.instantiate(type, fresh);
      const fits = this.bindings.try(() =>
        args.every(({ type }, i) => {
          const parameter = overload.parameters[i];
          return parameter !== undefined && this.bindings.assign(instantiate(parameter), type);
        })
      );
      if (!fits) continue;
      candidates.push(overload);
      results.push(this.bindings.resolve(instantiate(overload.result)));
    }
    const [result] = results;
    if (result === undefined) {
      const types = args.map(({ type }) => formatType(this.bindings.resolve(type)));
      const shown = member ? `${types[0]}.(${types.slice(1).join(", ")})` : `(${types.join(", ")})`;
      throw new ExpressionError(
        `found no matching overload for '${name}' applied to '${shown}'`,
        node.at,
      );
    }
    this.#checkLiteral(name, member, nodes);
    const same = results.every((type) => formatType(type) === formatType(result));
    return { type: same ? result : DYN, run: callOf(candidates, args) };
  }

  /** Patterns, durations and times that are written out must be right. */
  #checkLiteral(name: string, member: boolean, nodes: readonly Node[]): void {
    const checks: Readonly<Record<string, number>> = {
      matches: 1,
      find: 1,
      findAll: 1,
      ...(member ? {} : { duration: 0, timestamp: 0 }),
    };
    const place = Object.hasOwn(checks, name) ? checks[name] : undefined;
    const literal = place === undefined ? undefined : nodes[place];
    if (place === undefined || literal?.kind !== "constant") return;
    const probe = this.#functions.get(
      name === "timestamp" || name === "duration" ? name : "matches",
    )
      ?.find(({ parameters }) => parameters.every((type) => type === STRING));
    if (probe === undefined || typeof literal.value !== "string") return;
    const value = literal.value;
    try {
      probe.run(new Arguments(place === 0 ? [value] : ["", value]), new Meter(RULE_COST_LIMIT));
    } catch (cause) {
      if (!(cause instanceof EvaluationError)) throw cause;
      throw new ExpressionError(`invalid ${name} argument: ${cause.message}`, literal.at);
    }
  }

  #list(node: Node, scope: Scope, mixed = false): Compiled {
    if (node.kind !== "list") throw new TypeError("not a list");
    const item = mixed ? DYN : this.bindings.fresh();
    const { optional } = node;
    const items = node.items.map((entry, i) =>
      this.#element(entry, scope, optional.has(i) ? optionalOf(item) : item)
    );
    return {
      type: listOf(item),
      run: (frame) => {
        frame.meter.spend(10 + items.length);
        const values: Value[] = [];
        items.forEach(({ run }, i) => {
          const value = presentValue(run(frame), optional.has(i));
          if (value !== undefined) values.push(value);
        });
        return new ListValue(values);
      },
    };
  }

  /** Of a literal, whose elements are all of one type. */
  #element(node: Node, scope: Scope, type: Type): Compiled {
    const compiled = this.compile(node, scope);
    if (!this.bindings.try(() => this.bindings.assign(type, compiled.type))) {
      throw new ExpressionError(
        `expected type '${formatType(this.bindings.resolve(type))}' but found '${
          formatType(this.bindings.resolve(compiled.type))
        }'`,
        node.at,
      );
    }
    return compiled;
  }

  #map(node: Node, scope: Scope): Compiled {
    if (node.kind !== "map") throw new TypeError("not a map");
    const [key, value] = [this.bindings.fresh(), this.bindings.fresh()];
    const { optional } = node;
    const entries = node.entries.map(([name, content], i) => {
      const wanted = optional.has(i) ? optionalOf(value) : value;
      return [this.#element(name, scope, key), this.#element(content, scope, wanted)] as const;
    });
    const keyType = this.bindings.resolve(key);
    // Keys of keys would double the type with every level.
    if (![INT, STRING, BOOL].includes(keyType) && !["dyn", "variable"].includes(keyType.kind)) {
      throw new ExpressionError(`unsupported map key type: ${formatType(keyType)}`, node.at);
    }
    return {
      type: mapOf(key, value),
      run: (frame) => {
        frame.meter.spend(30 + entries.length);
        const map = new Map<MapKey, Value>();
        for (const [i, [name, content]] of entries.entries()) {
          const at = mapKey(name.run(frame));
          if (map.has(at)) throw new EvaluationError(`Failed with repeated key: ${at}`);
          const found = presentValue(content.run(frame), optional.has(i));
          if (found !== undefined) map.set(at, found);
        }
        return new MapValue(map);
      },
    };
  }

  #logic(node: Node, scope: Scope): Compiled {
    if (node.kind !== "logic") throw new TypeError("not a chain");
    const terms = node.terms.map((term) => this.compile(term, scope));
    terms.forEach(({ type }) => {
      if (this.bindings.try(() => this.bindings.assign(BOOL, type))) return;
      const types = terms.slice(0, 2).map((term) => formatType(this.bindings.resolve(term.type)));
      throw new ExpressionError(
        `found no matching overload for '_${node.operator}_' applied to '(${types.join(", ")})'`,
        node.at,
      );
    });
    const decides = node.operator === "||";
    return { type: BOOL, run: (frame) => decide(terms, decides, frame) };
  }

  #choice(node: Node, scope: Scope): Compiled {
    if (node.kind !== "choice") throw new TypeError("not a choice");
    const [condition, yes, no] = [node.condition, node.yes, node.no]
      .map((part) => this.compile(part, scope));
    if (condition === undefined || yes === undefined || no === undefined) {
      throw new TypeError("not a choice");
    }
    const result = this.bindings.fresh();
    const fits = this.bindings.try(() =>
      this.bindings.assign(BOOL, condition.type) && this.bindings.assign(result, yes.type) &&
      this.bindings.assign(result, no.type)
    );
    if (!fits) {
      const types = [condition, yes, no].map(({ type }) => formatType(this.bindings.resolve(type)));
      throw new ExpressionError(
        `found no matching overload for '_?_:_' applied to '(${types.join(", ")})'`,
        node.at,
      );
    }
    const isDyn = [yes, no].some(({ type }) => this.bindings.resolve(type).kind === "dyn");
    return {
      type: isDyn ? DYN : result,
      run: (frame) => {
        frame.meter.spend(1);
        const chosen = condition.run(frame);
        if (typeof chosen !== "boolean") throw noSuchOverload();
        return (chosen ? yes : no).run(frame);
      },
    };
  }
}

function callOf(candidates: readonly Overload[], args: readonly Compiled[]): Run {
  return (frame) => {
    frame.meter.spend(1);
    const values = args.map(({ run }) => run(frame));
    for (const { parameters, run } of candidates) {
      if (parameters.every((type, i) => isOfType(values[i] ?? null, type))) {
        return run(new Arguments(values), frame.meter);
      }
    }
    throw noSuchOverload();
  };
}
