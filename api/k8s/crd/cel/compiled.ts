/** What compiling an expression comes to, and the names it is compiled with. */
import type { Node } from "./ast.ts";
import { FAILURE_COST, type Meter } from "./meter.ts";
import type { Bindings, Type } from "./types.ts";
import {
  EvaluationError,
  type MapKey,
  MapValue,
  noSuchOverload,
  ObjectValue,
  OptionalValue,
  typeName,
  type Value,
} from "./values.ts";

export interface Frame {
  /** Variables, by the slot they got when the expression was compiled. */
  readonly slots: Value[];
  readonly meter: Meter;
}

export type Run = (frame: Frame) => Value;

export interface Compiled {
  readonly type: Type;
  readonly run: Run;
}

export interface Variable {
  readonly type: Type;
  readonly slot: number;
}

/** The names that are known at a place. */
export class Scope {
  readonly #names: ReadonlyMap<string, Variable>;

  constructor(names: ReadonlyMap<string, Variable>) {
    this.#names = names;
  }

  find(name: string): Variable | undefined {
    return this.#names.get(name);
  }

  with(name: string, variable: Variable): Scope {
    return new Scope(new Map([...this.#names, [name, variable]]));
  }
}

/** What macros need of the compiler. */
export interface Compiling {
  readonly bindings: Bindings;
  newSlot(): number;
  /** @throws {ExpressionError} */
  compile(node: Node, scope: Scope): Compiled;
  /** @throws {ExpressionError} where no value of the type has the field. */
  fieldType(operand: Type, field: string, node: Node): Type;
}

/** The first that decides wins, whatever fails before or after it. */
export function decide(terms: readonly Compiled[], decisive: boolean, frame: Frame): boolean {
  let failure: EvaluationError | undefined;
  for (const { run } of terms) {
    frame.meter.spend(1);
    try {
      const value = run(frame);
      if (typeof value !== "boolean") throw noSuchOverload();
      if (value === decisive) return decisive;
    } catch (cause) {
      if (!(cause instanceof EvaluationError)) throw cause;
      frame.meter.spend(FAILURE_COST);
      failure ??= cause;
    }
  }
  if (failure !== undefined) throw failure;
  return !decisive;
}

/** Undefined: there is no such field. @throws {EvaluationError} for what has no fields. */
export function fieldOf(value: Value, field: string): Value | undefined {
  if (value instanceof ObjectValue) return value.get(field);
  if (value instanceof MapValue) return value.entries.get(field);
  throw noSuchOverload();
}

/** @throws {EvaluationError} for what is no key. */
export function mapKey(value: Value): MapKey {
  if (typeof value === "string" || typeof value === "bigint" || typeof value === "boolean") {
    return value;
  }
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
  throw new EvaluationError(`unsupported key type: ${typeName(value)}`);
}

/** Of an element that stands as `?element`, what it holds, if it does. */
export function presentValue(value: Value, isOptional: boolean): Value | undefined {
  if (!isOptional) return value;
  if (!(value instanceof OptionalValue)) throw noSuchOverload();
  return value.value;
}
