/**
 * What rules may cost. The unit is about one step of the evaluation, or ten bytes looked at, as the
 * API server counts; where it stops differs, for here one thread serves everybody.
 */

/** Of one rule on one value; there it is a million. */
export const RULE_COST_LIMIT = 400_000;
/** Of all rules for one object: some tens of milliseconds. */
export const OBJECT_COST_LIMIT = 500_000;

/** Beginning a rule. */
export const RULE_COST = 8;
/** Reading a text that is more than its bytes: a time, an address, a quantity, a URL. */
export const PARSE_COST = 24;
/** An evaluation that failed and that something else makes up for. */
export const FAILURE_COST = 60;

/** The budget is used up; nothing in an expression can catch that. */
export class CostExceeded extends Error {
  override readonly name = "CostExceeded";
  readonly code = "cost_exceeded";

  constructor() {
    super("operation cancelled: actual cost limit exceeded");
  }
}

export class Meter {
  #left: number;

  constructor(limit: number) {
    this.#left = limit;
  }

  get left(): number {
    return this.#left;
  }

  /** @throws {CostExceeded} */
  spend(units: number): void {
    this.#left -= units;
    if (this.#left < 0) throw new CostExceeded();
  }

  /** @throws {CostExceeded} */
  spendBytes(length: number): void {
    this.spend(Math.ceil(length / 10));
  }
}
