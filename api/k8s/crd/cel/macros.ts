/** What looks like a call and binds names, or does not evaluate its arguments (langdef.md, "Macros"). */
import { ExpressionError, type Node } from "./ast.ts";
import { type Compiled, type Compiling, fieldOf, type Frame, type Scope } from "./compiled.ts";
import { FAILURE_COST } from "./meter.ts";
import { BOOL, DYN, formatType, INT, listOf, mapOf, optionalOf, type Type } from "./types.ts";
import {
  EvaluationError,
  ListValue,
  MapValue,
  noSuchOverload,
  ObjectValue,
  OptionalValue,
  type Value,
} from "./values.ts";

type Call = Extract<Node, { kind: "call" }>;

/** Macros over lists and maps: the arguments after the names, for one name and for two. */
const OVER: Readonly<Record<string, readonly [one: readonly number[], two: readonly number[]]>> = {
  all: [[1], [1]],
  exists: [[1], [1]],
  exists_one: [[1], [1]],
  existsOne: [[1], [1]],
  filter: [[1], []],
  map: [[1, 2], []],
  transformList: [[], [1, 2]],
  transformMap: [[], [1, 2]],
};

/** Undefined: it is a plain call. @throws {ExpressionError} */
export function compileMacro(compiler: Compiling, node: Call, scope: Scope): Compiled | undefined {
  if (node.target === undefined) {
    return node.name === "has" && node.args.length === 1
      ? compileHas(compiler, node, scope)
      : undefined;
  }
  const { name, args } = node;
  if ((name === "optMap" || name === "optFlatMap") && args.length === 2) {
    return compileOptional(compiler, node, node.target, scope);
  }
  const counts = Object.hasOwn(OVER, name) ? OVER[name] : undefined;
  if (counts === undefined) return undefined;
  const [first, second] = args;
  // map(x, filter, result) has one name, too.
  const isTwo = counts[1].includes(args.length - 2) && second?.kind === "name" &&
    !(counts[0].includes(args.length - 1));
  const names = isTwo ? 2 : 1;
  if (!(isTwo ? counts[1] : counts[0]).includes(args.length - names)) return undefined;
  const variables = [first, second].slice(0, names).map((arg) => {
    if (arg?.kind === "name") return arg.name;
    throw new ExpressionError("argument must be a simple name", arg?.at ?? node.at);
  });
  return compileOver(compiler, node, node.target, variables, args.slice(names), scope);
}

function compileHas(compiler: Compiling, node: Call, scope: Scope): Compiled {
  const [arg] = node.args;
  if (arg?.kind !== "select") {
    throw new ExpressionError("invalid argument to has() macro", node.at);
  }
  const operand = compiler.compile(arg.operand, scope);
  compiler.fieldType(operand.type, arg.field, arg);
  return {
    type: BOOL,
    run: (frame) => {
      const value = operand.run(frame);
      frame.meter.spend(1);
      const from = value instanceof OptionalValue ? value.value : value;
      return from !== undefined && fieldOf(from, arg.field) !== undefined;
    },
  };
}

function compileOptional(
  compiler: Compiling,
  node: Call,
  target: Node,
  scope: Scope,
): Compiled {
  const from = compiler.compile(target, scope);
  const type = compiler.bindings.resolve(from.type);
  const [name, body] = node.args;
  if (name?.kind !== "name" || body === undefined) {
    throw new ExpressionError(`${node.name}() variable name must be a simple identifier`, node.at);
  }
  if (type.kind !== "optional" && type.kind !== "dyn") {
    throw new ExpressionError(
      `found no matching overload for '${node.name}' applied to '${formatType(type)}'`,
      node.at,
    );
  }
  const slot = compiler.newSlot();
  const item = type.kind === "optional" ? type.item : DYN;
  const inner = compiler.compile(body, scope.with(name.name, { type: item, slot }));
  const isFlat = node.name === "optFlatMap";
  return {
    type: isFlat ? inner.type : optionalOf(inner.type),
    run: (frame) => {
      const value = from.run(frame);
      if (!(value instanceof OptionalValue)) throw noSuchOverload();
      if (value.value === undefined) return value;
      frame.slots[slot] = value.value;
      const result = inner.run(frame);
      if (!isFlat) return new OptionalValue(result);
      if (!(result instanceof OptionalValue)) throw noSuchOverload();
      return result;
    },
  };
}

function compileOver(
  compiler: Compiling,
  node: Call,
  target: Node,
  names: readonly string[],
  bodies: readonly Node[],
  scope: Scope,
): Compiled {
  const range = compiler.compile(target, scope);
  const rangeType = compiler.bindings.resolve(range.type);
  const [first, second] = variableTypes(rangeType, names.length === 2, target);
  const slots = names.map(() => compiler.newSlot());
  let inner = scope;
  names.forEach((name, i) => {
    inner = inner.with(name, { type: i === 0 ? first : second, slot: slots[i] ?? 0 });
  });
  const compiled = bodies.map((body) => compiler.compile(body, inner));
  const last = compiled.at(-1);
  if (last === undefined) throw new TypeError("a macro without a body");
  // The predicate: all of it, or what filters what is made.
  const test = compiled.length === 2 || isPredicate(node.name) ? compiled[0] : undefined;
  if (
    test !== undefined && !compiler.bindings.try(() => compiler.bindings.assign(BOOL, test.type))
  ) {
    throw new ExpressionError(
      `expected type 'bool' but found '${formatType(compiler.bindings.resolve(test.type))}'`,
      bodies[0]?.at ?? node.at,
    );
  }
  const loop: Loop = { range, slots, test, body: last };
  return { type: resultType(node.name, first, rangeType, last.type), run: runner(node.name, loop) };
}

function isPredicate(name: string): boolean {
  return ["all", "exists", "exists_one", "existsOne", "filter"].includes(name);
}

function variableTypes(range: Type, isTwo: boolean, node: Node): readonly [Type, Type] {
  switch (range.kind) {
    case "list":
      return isTwo ? [INT, range.item] : [range.item, DYN];
    case "map":
      return [range.key, range.value];
    case "dyn":
    case "variable":
      return [DYN, DYN];
    default:
      throw new ExpressionError(
        `expression of type '${
          formatType(range)
        }' cannot be range of a comprehension (must be list, map, or dynamic)`,
        node.at,
      );
  }
}

function resultType(name: string, first: Type, range: Type, body: Type): Type {
  if (name === "filter") return listOf(first);
  if (name === "map" || name === "transformList") return listOf(body);
  if (name !== "transformMap") return BOOL;
  return mapOf(range.kind === "map" ? range.key : range.kind === "list" ? INT : DYN, body);
}

interface Loop {
  readonly range: Compiled;
  readonly slots: readonly number[];
  readonly test: Compiled | undefined;
  readonly body: Compiled;
}

/** The steps of a range: the values of its one or two variables. */
function* steps(value: Value, isTwo: boolean): Generator<readonly [Value, Value]> {
  if (value instanceof ListValue) {
    let index = 0n;
    for (const item of value.items) yield isTwo ? [index++, item] : [item, null];
  } else if (value instanceof MapValue) {
    for (const [key, item] of value.entries) yield [key, item];
  } else if (value instanceof ObjectValue) {
    for (const name of value.names) yield [name, value.get(name) ?? null];
  } else throw noSuchOverload();
}

function* iterate(loop: Loop, frame: Frame): Generator<readonly [Value, Value]> {
  const value = loop.range.run(frame);
  const [first = 0, second] = loop.slots;
  for (const step of steps(value, second !== undefined)) {
    frame.meter.spend(1);
    // An inner loop in the body has slots of its own.
    frame.slots[first] = step[0];
    if (second !== undefined) frame.slots[second] = step[1];
    yield step;
  }
}

function isTrue(test: Compiled, frame: Frame): boolean {
  const value = test.run(frame);
  if (typeof value !== "boolean") throw noSuchOverload();
  return value;
}

function runner(name: string, loop: Loop): Compiled["run"] {
  const { test, body } = loop;
  const passes = (frame: Frame) => test === undefined || isTrue(test, frame);
  switch (name) {
    case "all":
    case "exists":
      return (frame) => quantified(loop, name === "exists", frame);
    case "exists_one":
    case "existsOne":
      return (frame) => {
        let count = 0;
        for (const _ of iterate(loop, frame)) if (isTrue(body, frame)) count++;
        return count === 1;
      };
    case "filter":
      return (frame) => {
        const items: Value[] = [];
        for (const [item] of iterate(loop, frame)) if (passes(frame)) items.push(item);
        return new ListValue(items);
      };
    case "transformMap":
      return (frame) => {
        const entries = new Map<string | bigint | boolean, Value>();
        for (const [key] of iterate(loop, frame)) {
          if (!passes(frame)) continue;
          if (typeof key === "object" || typeof key === "number") throw noSuchOverload();
          entries.set(key, body.run(frame));
        }
        return new MapValue(entries);
      };
    default:
      return (frame) => {
        const items: Value[] = [];
        for (const _ of iterate(loop, frame)) if (passes(frame)) items.push(body.run(frame));
        return new ListValue(items);
      };
  }
}

/** As a chain of `||` or `&&` over the items: one that decides makes up for those that fail. */
function quantified(loop: Loop, decisive: boolean, frame: Frame): boolean {
  let failure: EvaluationError | undefined;
  for (const _ of iterate(loop, frame)) {
    try {
      if (isTrue(loop.body, frame) === decisive) return decisive;
    } catch (cause) {
      if (!(cause instanceof EvaluationError)) throw cause;
      frame.meter.spend(FAILURE_COST);
      failure ??= cause;
    }
  }
  if (failure !== undefined) throw failure;
  return !decisive;
}
