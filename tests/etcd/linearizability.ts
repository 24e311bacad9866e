/**
 * Whether a history of one key could have happened one operation at a time (Wing and Gong's
 * search, with Lowe's memory of configurations, as in Porcupine).
 */

export interface HistoryOperation<Input, Output> {
  readonly input: Input;
  readonly output: Output;
  /** Any clock that never runs back. */
  readonly calledAt: number;
  readonly returnedAt: number;
}

export interface Model<State, Input, Output> {
  readonly initial: State;
  /** The state after the operation, or undefined where it could not have answered like this. */
  step(state: State, input: Input, output: Output): State | undefined;
  key(state: State): string;
}

/** @returns whether there is an order that respects real time and the model */
export function isLinearizable<State, Input, Output>(
  model: Model<State, Input, Output>,
  history: readonly HistoryOperation<Input, Output>[],
): boolean {
  const operations = [...history].sort((a, b) => a.calledAt - b.calledAt);
  const done = new Set<number>();
  const seen = new Set<string>();

  const search = (state: State): boolean => {
    if (done.size === operations.length) return true;
    const configuration = `${[...done].sort((a, b) => a - b).join(",")}|${model.key(state)}`;
    if (seen.has(configuration)) return false;
    seen.add(configuration);
    // Next may be whatever was called before the first of the others returned.
    let earliestReturn = Infinity;
    for (const [i, { returnedAt }] of operations.entries()) {
      if (!done.has(i)) earliestReturn = Math.min(earliestReturn, returnedAt);
    }
    for (const [i, operation] of operations.entries()) {
      if (done.has(i)) continue;
      if (operation.calledAt > earliestReturn) break;
      const next = model.step(state, operation.input, operation.output);
      if (next === undefined) continue;
      done.add(i);
      if (search(next)) return true;
      done.delete(i);
    }
    return false;
  };
  return search(model.initial);
}
