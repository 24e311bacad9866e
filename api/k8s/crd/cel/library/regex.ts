/** Patterns of RE2: linear in the text, so that no rule can stop this program. */
import { RE2JS } from "re2js";
import type { Arguments, Signatures } from "../functions.ts";
import type { Meter } from "../meter.ts";
import { EvaluationError, ListValue } from "../values.ts";

const MAX_KEPT = 64;
/** What compiling costs, by the character, and by the instruction that comes of it. */
const COMPILE_COST = 60;
const INSTRUCTION_COST = 15;
/** What a search costs by the character: at least, and by the instruction, all of which may be tried. */
const SEARCH_COST = 6;
const SEARCH_SHARE = 1 / 4;

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
    meter.spend(compiled.programSize() * INSTRUCTION_COST);
    if (this.#kept.size < MAX_KEPT) this.#kept.set(pattern, compiled);
    return compiled;
  }
}

export function regexFunctions(): Signatures {
  const patterns = new Patterns();
  const searched = (args: Arguments, meter: Meter) => {
    const pattern = patterns.compile(args.text(1), meter);
    const perCharacter = Math.max(SEARCH_COST, pattern.programSize() * SEARCH_SHARE);
    const cost = Math.ceil((args.text(0).length + 1) * perCharacter);
    meter.spend(cost);
    return { at: pattern.matcher(args.text(0)), cost };
  };
  const matches = (args: Arguments, meter: Meter) => searched(args, meter).at.find();
  const findAll = (args: Arguments, meter: Meter) => {
    const limit = args.values.length > 2 ? args.int(2) : -1n;
    const found: string[] = [];
    const { at, cost } = searched(args, meter);
    while ((limit < 0n || BigInt(found.length) < limit) && at.find()) {
      found.push(at.group() ?? "");
      // Each search may look at all that is left.
      meter.spend(cost);
    }
    return new ListValue(found);
  };
  return {
    "matches(string, string): bool": matches,
    "string.matches(string): bool": matches,
    "string.find(string): string": (args, meter) => {
      const { at } = searched(args, meter);
      return at.find() ? at.group() ?? "" : "";
    },
    "string.findAll(string): list<string>": findAll,
    "string.findAll(string, int): list<string>": findAll,
  };
}
