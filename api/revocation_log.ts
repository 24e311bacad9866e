/**
 * Which nodes the chain took something back from, lately and in order: whoever read the chain
 * before and writes after asks whether to read again. Bounded; what was forgotten counts as taken.
 */
export interface RevocationLog {
  note(nodeId: string): void;
  /** Where the log stands now, for `since`. */
  mark(): number;
  /** Whether something was taken from the node after the mark. */
  since(nodeId: string, mark: number): boolean;
}

/** @param capacity nodes remembered at a time. */
export function createRevocationLog(capacity = 10_000): RevocationLog {
  const latest = new Map<string, number>();
  let count = 0;
  let forgotten = 0;
  return {
    note(nodeId) {
      count++;
      latest.delete(nodeId);
      latest.set(nodeId, count);
      if (latest.size <= capacity) return;
      for (const [oldest, at] of latest) {
        forgotten = at;
        latest.delete(oldest);
        return;
      }
    },
    mark: () => count,
    since: (nodeId, mark) => (latest.get(nodeId) ?? forgotten) > mark,
  };
}
