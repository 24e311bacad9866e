/** What a master answers to its admin: decoded, or why not. */
import * as v from "valibot";
import { Refused } from "../command.ts";
import type { PinnedAnswer } from "./pinned_request.ts";

const PROBLEM = v.object({ detail: v.string(), code: v.string(), hint: v.optional(v.string()) });

/**
 * @throws {Refused} where the master says no, and for what is not of this shape
 * @throws {Error} where it cannot do it now (429, 5xx)
 */
export function decoded<const S extends v.GenericSchema>(
  schema: S,
  answer: PinnedAnswer,
): v.InferOutput<S> {
  if (![200, 201, 202].includes(answer.status)) throw refusal(answer);
  const result = v.safeParse(schema, jsonOf(answer.body));
  if (!result.success) throw new Refused("the master's answer is none that is known here");
  return result.output;
}

/** Undefined for what is no JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the caller says that it is none
  }
}

/**
 * The problem document (RFC 9457) as an error: a no below 500; "not now" (429) and the master's own
 * failures are none.
 */
export function refusal({ status, body }: PinnedAnswer): Error {
  const isNo = status < 500 && status !== 429;
  const problem = v.safeParse(PROBLEM, jsonOf(body));
  if (!problem.success) {
    const message = `the master answered ${status}`;
    return isNo ? new Refused(message) : new Error(message);
  }
  const { code, detail, hint } = problem.output;
  return isNo
    ? new Refused(`the master refuses (${status} ${code}): ${detail}`, { hint })
    : Object.assign(new Error(`the master cannot (${status} ${code}): ${detail}`), { hint });
}
