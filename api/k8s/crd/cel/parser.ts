/** Reads an expression (cel-spec, langdef.md, "Syntax"), within bounds. */
import { ExpressionError, type Node } from "./ast.ts";
import { type Token, tokenize } from "./lexer.ts";

/** Longest rule, in UTF-16 units. */
export const MAX_EXPRESSION_LENGTH = 32_768;
const MAX_NODES = 10_000;
/** Deepest nesting; the tree is walked by recursion. */
const MAX_DEPTH = 250;

const RELATIONS = ["<", "<=", ">", ">=", "==", "!=", "in"];

/** Names that no expression may use for anything. */
export const RESERVED: ReadonlySet<string> = new Set(
  ("as break const continue else for function if import let loop package namespace return var " +
    "void while").split(" "),
);

/** @throws {ExpressionError} */
export function parse(source: string): Node {
  if (source.length > MAX_EXPRESSION_LENGTH) {
    throw new ExpressionError(
      `expression code point size exceeds limit: size: ${source.length}, limit ${MAX_EXPRESSION_LENGTH}`,
      0,
    );
  }
  return new Parser(tokenize(source)).whole();
}

function tooDeep(at: number): ExpressionError {
  return new ExpressionError(`expression recursion limit exceeded: ${MAX_DEPTH}`, at);
}

function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case "constant":
    case "name":
      return [];
    case "select":
      return [node.operand];
    case "call":
      return node.target === undefined ? node.args : [node.target, ...node.args];
    case "list":
      return node.items;
    case "map":
      return node.entries.flat();
    case "logic":
      return node.terms;
    case "choice":
      return [node.condition, node.yes, node.no];
  }
}

class Parser {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;
  /** How deep the tree under a node is. */
  readonly #heights = new Map<Node, number>();

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  whole(): Node {
    const node = this.#expression();
    if (this.#token.kind !== "end") throw this.#unexpected();
    return node;
  }

  get #token(): Token {
    const token = this.#tokens[Math.min(this.#next, this.#tokens.length - 1)];
    if (token === undefined) throw new TypeError("no tokens");
    return token;
  }

  #unexpected(): ExpressionError {
    const { kind, text, at } = this.#token;
    const shown = kind === "end" ? "<EOF>" : text.slice(0, 100);
    return new ExpressionError(`Syntax error: mismatched input '${shown}'`, at);
  }

  #is(text: string): boolean {
    const token = this.#token;
    return token.kind === "symbol" && token.text === text;
  }

  #take(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#next++;
    return true;
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw this.#unexpected();
  }

  #name(): string {
    const token = this.#token;
    if (token.kind !== "name") throw this.#unexpected();
    this.#next++;
    return token.text;
  }

  #made<T extends Node>(node: T): T {
    if (this.#heights.size >= MAX_NODES) {
      throw new ExpressionError(`expression has more than ${MAX_NODES} terms`, node.at);
    }
    let height = 0;
    for (const child of childrenOf(node)) {
      height = Math.max(height, this.#heights.get(child) ?? 0);
    }
    if (height >= MAX_DEPTH) throw tooDeep(node.at);
    this.#heights.set(node, height + 1);
    return node;
  }

  #deeper<T>(read: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw tooDeep(this.#token.at);
    const result = read();
    this.#depth--;
    return result;
  }

  #expression(): Node {
    return this.#deeper(() => {
      const condition = this.#logic("||", () => this.#logic("&&", () => this.#relation()));
      const { at } = this.#token;
      if (!this.#take("?")) return condition;
      const yes = this.#logic("||", () => this.#logic("&&", () => this.#relation()));
      this.#expect(":");
      const no = this.#expression();
      return this.#made({ kind: "choice", at, condition, yes, no });
    });
  }

  #logic(operator: "&&" | "||", term: () => Node): Node {
    const first = term();
    const { at } = this.#token;
    if (!this.#is(operator)) return first;
    const terms = [first];
    while (this.#take(operator)) terms.push(term());
    return this.#made({ kind: "logic", at, operator, terms });
  }

  #relation(): Node {
    return this.#chain(
      RELATIONS,
      () => this.#chain(["+", "-"], () => this.#chain(["*", "/", "%"], () => this.#unary())),
    );
  }

  #chain(operators: readonly string[], term: () => Node): Node {
    let left = term();
    while (operators.some((operator) => this.#is(operator))) {
      const { text, at } = this.#token;
      this.#next++;
      const right = term();
      left = this.#made({
        kind: "call",
        at,
        name: text === "in" ? "@in" : `_${text}_`,
        target: undefined,
        args: [left, right],
      });
    }
    return left;
  }

  #unary(): Node {
    const { at } = this.#token;
    for (const [symbol, name] of [["!", "!_"], ["-", "-_"]] as const) {
      if (!this.#is(symbol)) continue;
      let count = 0;
      while (this.#take(symbol)) count++;
      const next = this.#token;
      if (symbol === "-" && next.kind === "constant" && typeof next.value === "bigint") {
        // The sign is part of the number, or the least of them could not be written.
        this.#next++;
        const value = count % 2 === 1 ? -next.value : next.value;
        return this.#member(this.#integer(value, at));
      }
      const operand = this.#member(this.#primary());
      if (count % 2 === 0 && symbol === "!") {
        return this.#made({
          kind: "call",
          at,
          name,
          target: undefined,
          args: [this.#made({ kind: "call", at, name, target: undefined, args: [operand] })],
        });
      }
      return count % 2 === 0
        ? operand
        : this.#made({ kind: "call", at, name, target: undefined, args: [operand] });
    }
    return this.#member(this.#primary());
  }

  #integer(value: bigint, at: number): Node {
    if (BigInt.asIntN(64, value) !== value) {
      throw new ExpressionError("invalid int literal", at);
    }
    return this.#made({ kind: "constant", at, value });
  }

  #member(first: Node): Node {
    let node = first;
    for (;;) {
      const { at } = this.#token;
      if (this.#take(".")) {
        const optional = this.#take("?");
        const field = this.#name();
        const call = this.#token;
        if (!optional && this.#take("(")) {
          const args = this.#list(")");
          node = this.#made({ kind: "call", at: call.at, name: field, target: node, args });
        } else node = this.#made({ kind: "select", at, operand: node, field, optional });
      } else if (this.#take("[")) {
        const name = this.#take("?") ? "_[?_]" : "_[_]";
        const index = this.#expression();
        this.#expect("]");
        node = this.#made({ kind: "call", at, name, target: undefined, args: [node, index] });
      } else return node;
    }
  }

  #primary(): Node {
    const token = this.#token;
    const { at } = token;
    if (token.kind === "constant") {
      this.#next++;
      return typeof token.value === "bigint"
        ? this.#integer(token.value, at)
        : this.#made({ kind: "constant", at, value: token.value });
    }
    if (this.#take("(")) {
      const node = this.#expression();
      this.#expect(")");
      return node;
    }
    if (this.#take("[")) {
      const optional = new Set<number>();
      return this.#made({ kind: "list", at, items: this.#list("]", optional), optional });
    }
    if (this.#take("{")) return this.#map(at);
    const name = this.#name();
    if (RESERVED.has(name)) throw new ExpressionError(`reserved identifier: ${name}`, at);
    const call = this.#token;
    if (!this.#take("(")) return this.#made({ kind: "name", at, name });
    const args = this.#list(")");
    return this.#made({ kind: "call", at: call.at, name, target: undefined, args });
  }

  /** @param optional where `?` may stand before an item: the places it did are put in. */
  #list(close: string, optional?: Set<number>): Node[] {
    const items: Node[] = [];
    while (!this.#take(close)) {
      if (optional !== undefined && this.#take("?")) optional.add(items.length);
      items.push(this.#expression());
      if (this.#take(",")) {
        if (close === ")" && this.#is(close)) throw this.#unexpected();
      } else if (!this.#is(close)) throw this.#unexpected();
    }
    return items;
  }

  #map(at: number): Node {
    const entries: [Node, Node][] = [];
    const optional = new Set<number>();
    while (!this.#take("}")) {
      if (this.#take("?")) optional.add(entries.length);
      const key = this.#expression();
      this.#expect(":");
      entries.push([key, this.#expression()]);
      if (!this.#take(",") && !this.#is("}")) throw this.#unexpected();
    }
    return this.#made({ kind: "map", at, entries, optional });
  }
}
