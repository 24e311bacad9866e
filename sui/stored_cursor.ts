/** The cursor as the store keeps it. */

/** Going on would skip or mix events. */
export class CannotContinue extends Error {
  override readonly name = "CannotContinue";
}

/** `<chain id>/<the ledger's cursor>`: a cursor means nothing on another chain. */
export function formatCursor(chainId: string, cursor: string): string {
  return `${chainId}/${cursor}`;
}

/** @throws {CannotContinue} where it is of another chain */
export function parseCursor(stored: string, chainId: string): string {
  const slash = stored.indexOf("/");
  const storedChainId = slash < 0 ? "" : stored.slice(0, slash);
  if (storedChainId !== chainId) {
    throw new CannotContinue(
      `the stored cursor is of chain ${
        JSON.stringify(storedChainId)
      }, the endpoint is on ${chainId}`,
    );
  }
  return stored.slice(slash + 1);
}
