/** What an expression of the Common Expression Language (CEL, cel-spec langdef.md) is made of. */
import type { Value } from "./values.ts";

/** An expression; `at` is its place in the source, in UTF-16 units. */
export type Node =
  | { readonly kind: "constant"; readonly at: number; readonly value: Value }
  | { readonly kind: "name"; readonly at: number; readonly name: string }
  | {
    readonly kind: "select";
    readonly at: number;
    readonly operand: Node;
    readonly field: string;
    /** `operand.?field` */
    readonly optional: boolean;
  }
  | {
    /** `target.name(args)`, or `name(args)`; operators are calls of `_+_` and the like. */
    readonly kind: "call";
    readonly at: number;
    readonly name: string;
    readonly target: Node | undefined;
    readonly args: readonly Node[];
  }
  | {
    readonly kind: "list";
    readonly at: number;
    readonly items: readonly Node[];
    /** Places of the items that stand as `?item`: optionals, there only where they have a value. */
    readonly optional: ReadonlySet<number>;
  }
  | {
    readonly kind: "map";
    readonly at: number;
    readonly entries: readonly (readonly [key: Node, value: Node])[];
    readonly optional: ReadonlySet<number>;
  }
  | {
    /** A chain of one of them, however long, so that its length is no depth. */
    readonly kind: "logic";
    readonly at: number;
    readonly operator: "&&" | "||";
    readonly terms: readonly Node[];
  }
  | {
    readonly kind: "choice";
    readonly at: number;
    readonly condition: Node;
    readonly yes: Node;
    readonly no: Node;
  };

/** `a.b.c` where the node is that and nothing else. */
export function qualifiedName(node: Node): string | undefined {
  if (node.kind === "name") return node.name;
  if (node.kind !== "select" || node.optional) return undefined;
  const before = qualifiedName(node.operand);
  return before === undefined ? undefined : `${before}.${node.field}`;
}

/** What is wrong with an expression, and where. */
export class ExpressionError extends Error {
  override readonly name = "ExpressionError";
  readonly code = "expression_refused";

  constructor(message: string, readonly at: number) {
    super(message);
  }

  /** As cel-go writes it: the line, and under it a mark at the place. */
  describe(source: string): string {
    const before = source.slice(0, this.at);
    const line = before.split("\n").length;
    const start = before.lastIndexOf("\n") + 1;
    const text = source.slice(start).split("\n", 1)[0] ?? "";
    const column = [...source.slice(start, this.at)].length;
    return `ERROR: <input>:${line}:${column + 1}: ${this.message}\n | ${text}\n | ${
      ".".repeat(column)
    }^`;
  }
}
