/** Which node a session token belongs to; sessions that a master signed are also checked as such. */
import type { SessionTokens } from "./deps.ts";
import { tokenDigest } from "./beat_signature.ts";
import { looksLikeSignedSession, type SignedSessions } from "./signed_sessions.ts";
import { looksLikeSessionToken } from "./session_tokens.ts";
import type { WorkerRecord, WorkerSession } from "./worker_records.ts";

export interface IndexedSession {
  readonly nodeId: string;
  /** As the record keeps it. */
  readonly hash: string;
  /** SHA-256 of the token, hex. */
  readonly digest: string;
}

export interface SessionIndex {
  /** The sessions of the record take the place of those of the one before it. */
  replace(before: WorkerRecord | undefined, after: WorkerRecord): void;
  /** The sessions of the record are none any more. */
  forget(record: WorkerRecord): void;
  /** The node and the session of a token, ended or not; undefined for no session of this master. */
  find(token: string): IndexedSession | undefined;
  /** Calls back once when the node has no session any more, until the returned function is called. */
  onEnd(nodeId: string, ended: () => void): () => void;
  /** Tells those who wait for the end of the node's sessions. */
  end(nodeId: string): void;
}

/** @param signed undefined where nobody can be admitted by proof. */
export function createSessionIndex(
  tokens: SessionTokens,
  signed: SignedSessions | undefined,
  clock: () => number,
): SessionIndex {
  const byHash = new Map<string, string>();
  /**
   * Sessions that were asked for, by the digest of the token: what was found out about a token, its
   * keyed hash and that its signature is right, is found out once.
   */
  const known = new Map<string, IndexedSession>();
  const digests = new Map<string, string>();
  const drop = (hash: string) => {
    byHash.delete(hash);
    known.delete(digests.get(hash) ?? "");
    digests.delete(hash);
  };
  const waiting = new Map<string, Set<() => void>>();
  const end = (nodeId: string) => {
    const waiters = waiting.get(nodeId);
    waiting.delete(nodeId);
    for (const ended of waiters ?? []) ended();
  };
  return {
    replace(before, after) {
      const kept = new Set(sessionsOf(after).map(({ hash }) => hash));
      for (const { hash } of before === undefined ? [] : sessionsOf(before)) {
        if (kept.has(hash)) continue;
        drop(hash);
      }
      for (const hash of kept) byHash.set(hash, after.node_id);
      if (kept.size === 0) end(after.node_id);
    },
    forget(record) {
      for (const { hash } of sessionsOf(record)) drop(hash);
      end(record.node_id);
    },
    find(token) {
      const isSigned = looksLikeSignedSession(token);
      if (!isSigned && !looksLikeSessionToken(token)) return undefined;
      const digest = tokenDigest(token);
      const before = known.get(digest);
      if (before !== undefined) return before;
      const hash = tokens.hash(token);
      const nodeId = byHash.get(hash);
      if (nodeId === undefined) return undefined;
      // Ended ones fail here as well; whoever asks is then told that the session is none.
      if (isSigned && signed?.verify(token, clock())?.sub !== nodeId) return undefined;
      const found = { nodeId, hash, digest };
      known.set(digest, found);
      digests.set(hash, digest);
      return found;
    },
    onEnd(nodeId, ended) {
      const waiters = waiting.get(nodeId) ?? new Set();
      waiting.set(nodeId, waiters.add(ended));
      return () => {
        waiters.delete(ended);
        if (waiters.size === 0 && waiting.get(nodeId) === waiters) waiting.delete(nodeId);
      };
    },
    end,
  };
}

/** The session of a record, and the one before it where that is still good. */
export function sessionsOf({ session }: WorkerRecord): readonly WorkerSession[] {
  if (session === undefined) return [];
  return session.previous === undefined ? [session] : [session, session.previous];
}
