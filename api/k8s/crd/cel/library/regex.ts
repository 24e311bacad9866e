/** Patterns of RE2: linear in the text, so that no rule can stop this program. */
import { RE2JS } from "re2js";
import type { Arguments, Signatures } from "../functions.ts";
import type { Meter } from "../meter.ts";
import { EvaluationError, ListValue } from "../values.ts";

const MAX_KEPT = 64;
/** What compiling costs, by the character. */
const COMPILE_COST = 60;

/** Compiles patterns, and keeps the few that rules write out. */
class Patterns {
  readonly #kept = new Map<string, RE2JS>();

  compile(pattern: string, meter: Meter): RE2JS {
    const known = this.#kept.get(pattern);
    if (known !== undefined) return known;
    meter.spend(pattern.length * COMPILE_COST);
    let compiled: RE2JS;
    try {
      compiled = RE2JS.compile(pattern);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message.slice(0, 200) : "unreadable";
      throw new EvaluationError(why, { cause });
    }
    if (this.#kept.size < MAX_KEPT) this.#kept.set(pattern, compiled);
    return compiled;
  }
}

export function regexFunctions(): Signatures {
  const patterns = new Patterns();
  const matcher = (args: Arguments, meter: Meter) => {
    const [text, pattern] = [args.text(0), args.text(1)];
    meter.spend(5 + Math.ceil((text.length + 1) / 10) * Math.ceil(pattern.length / 4));
    return patterns.compile(pattern, meter).matcher(text);
  };
  const matches = (args: Arguments, meter: Meter) => matcher(args, meter).find();
  const findAll = (args: Arguments, meter: Meter) => {
    const limit = args.values.length > 2 ? args.int(2) : -1n;
    const found: string[] = [];
    const at = matcher(args, meter);
    while ((limit < 0n || BigInt(found.length) < limit) && at.find()) {
      meter.spend(1);
      found.push(at.group() ?? "");
    }
    return new ListValue(found);
  };
  return {
    "matches(string, string): bool": matches,
    "string.matches(string): bool": matches,
    "string.find(string): string": (args, meter) => {
      const at = matcher(args, meter);
      return at.find() ? at.group() ?? "" : "";
    },
    "string.findAll(string): list<string>": findAll,
    "string.findAll(string, int): list<string>": findAll,
  };
}
