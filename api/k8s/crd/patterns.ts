/** `pattern` of a schema: RE2, as the API server has it, and within a budget for each object. */
import { RE2JS } from "re2js";

/**
 * RE2 is linear in the text, but what a character costs grows with the pattern: `(a{0,30}){0,30}$`
 * has 1,893 instructions and takes 35 us for each. Instructions times characters; some 0.2 s at worst.
 */
export const PATTERN_BUDGET = 12_000_000;

/** The patterns of one object's check, each compiled once. */
export class Patterns {
  readonly #compiled = new Map<string, RE2JS>();
  #left = PATTERN_BUDGET;

  /** Whether the text has what the pattern describes; undefined where that would take too long. */
  matches(pattern: string, text: string): boolean | undefined {
    let compiled = this.#compiled.get(pattern);
    if (compiled === undefined) {
      compiled = RE2JS.compile(pattern);
      this.#compiled.set(pattern, compiled);
    }
    this.#left -= (text.length + 1) * compiled.programSize();
    return this.#left < 0 ? undefined : compiled.matcher(text).find();
  }
}
