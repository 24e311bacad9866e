/** One object, read together with whatever else is wanted at the time. */
import { canonicalAddress } from "./address.ts";
import type { ObjectAnswer } from "./chain_client.ts";
import type { LedgerObject } from "./ledger.ts";
import type { ObjectBatcher } from "./object_batcher.ts";
import { unlessAborted } from "./request.ts";

/**
 * @param id any spelling of an object id
 * @throws {TypeError} when it is none
 * @throws {LedgerUnavailable} @throws {LedgerProtocolError}
 */
export async function readBatched(
  batcher: ObjectBatcher<ObjectAnswer>,
  endpoint: string,
  id: string,
  signal: AbortSignal | undefined,
): Promise<LedgerObject | undefined> {
  const canonical = canonicalAddress(id);
  if (canonical === undefined) throw new TypeError(`object id: ${JSON.stringify(id)}`);
  // The request is shared with other readers: a caller that gives up only stops waiting for it.
  const answer = await unlessAborted(endpoint, signal, batcher.get(canonical));
  if ("error" in answer) throw answer.error;
  return answer.object;
}
