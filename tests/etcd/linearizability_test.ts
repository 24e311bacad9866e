import { assert } from "@std/assert";
import { type HistoryOperation, isLinearizable, type Model } from "./linearizability.ts";

/** A register: writes put a number, reads see one. */
const register: Model<number, number | "read", number> = {
  initial: 0,
  step: (state, input, output) => {
    if (input !== "read") return input;
    return output === state ? state : undefined;
  },
  key: String,
};

function op(
  calledAt: number,
  returnedAt: number,
  input: number | "read",
  output = 0,
): HistoryOperation<number | "read", number> {
  return { input, output, calledAt, returnedAt };
}

Deno.test("isLinearizable() accepts what some order explains", () => {
  assert(isLinearizable(register, [op(0, 10, 1), op(2, 4, "read", 0), op(5, 7, "read", 1)]));
  assert(isLinearizable(register, [op(0, 10, 1), op(0, 10, 2), op(11, 12, "read", 1)]));
});

Deno.test("isLinearizable() refuses a stale read and a value that came and went", () => {
  assert(!isLinearizable(register, [op(0, 1, 1), op(2, 3, "read", 0)]));
  assert(!isLinearizable(register, [op(0, 10, 1), op(2, 4, "read", 1), op(5, 7, "read", 0)]));
  assert(!isLinearizable(register, [op(0, 1, 1), op(2, 3, "read", 7)]));
});
