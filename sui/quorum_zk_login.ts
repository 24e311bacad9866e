/** The word of several full nodes on a zkLogin signature: as many must say yes as for any answer. */
import { LedgerUnavailable } from "./ledger.ts";
import type { ZkLoginVerifier } from "./wallet_signature.ts";

/**
 * @param verifiers two or more, run by different operators
 * @param required how many must agree. Default: a majority, and two at least
 * @throws {RangeError} when fewer than two must agree, or more than there are
 */
export function createQuorumZkLogin(
  verifiers: readonly ZkLoginVerifier[],
  required: number = Math.max(2, Math.floor(verifiers.length / 2) + 1),
): ZkLoginVerifier {
  if (!Number.isInteger(required) || required < 2 || required > verifiers.length) {
    throw new RangeError(`required: expected 2 to ${verifiers.length}, got ${required}`);
  }
  return {
    async verifyPersonalMessage(message, signature, address, signal) {
      const answers = await Promise.allSettled(
        verifiers.map((verifier) =>
          verifier.verifyPersonalMessage(message, signature, address, signal)
        ),
      );
      const count = (word: boolean) =>
        answers.filter((answer) => answer.status === "fulfilled" && answer.value === word).length;
      if (count(true) >= required) return true;
      if (count(false) >= required) return false;
      const away = answers.filter((answer) => answer.status === "rejected")
        .map(({ reason }): unknown => reason);
      throw new LedgerUnavailable(
        `the endpoints do not agree on a zkLogin signature: ${count(true)} yes, ` +
          `${count(false)} no, ${away.length} away; ${required} must`,
        { cause: new AggregateError(away) },
      );
    },
  };
}
