/**
 * Seal tokens: what a worker presents, what the chain says of it, what is decided. Decisions are
 * kept for a bounded time in bounded memory; a chain that cannot be asked throws and is never
 * answered from an older yes.
 */
import { isCanonicalAddress } from "./address.ts";
import { type Ledger, LedgerUnavailable } from "./ledger.ts";
import type { TokenDecision, TokenPresentation, TokenValidator } from "./seal_token_types.ts";
import { TokenCache } from "./token_cache.ts";
import { EXPIRED, refuse, TokenReader } from "./token_reader.ts";

export type {
  SealTokenClaims,
  TokenDecision,
  TokenPresentation,
  TokenRefusalCode,
  TokenValidator,
} from "./seal_token_types.ts";

export interface SealTokenValidatorOptions {
  readonly ledger: Ledger;
  /** Where `k8s_gateway` was first published, 0x and hex. */
  readonly packageId: string;
  /** Object id of the shared WorkerRegistry, 0x and hex. */
  readonly registryId: string;
  /** 16 bytes; absent: the registry's own. */
  readonly clusterId?: Uint8Array | undefined;
  readonly minimumStakeMist: bigint;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  /** How long a yes is believed without asking again. Default 30000. */
  readonly cacheTtlMs?: number;
  /** How long a no is. Default 5000. */
  readonly negativeCacheTtlMs?: number;
  /** Most decisions kept, yes and no counted apart. Default 10000. */
  readonly maxCacheEntries?: number;
  /** Most a question to the chain may take. Default 10000. */
  readonly timeoutMs?: number;
  /** Most questions on their way; beyond it callers are told to come back. Default 1000. */
  readonly maxLookups?: number;
  /** Answers of a node whose newest checkpoint is older are not used. Absent: no limit. */
  readonly maxChainAgeMs?: number | undefined;
  /** Whether knowing a public id opens the door: `--legacy-bearer-tokens`. */
  readonly allowLegacyBearer: boolean;
}

export interface SealTokenValidatorStats {
  readonly cached: number;
  readonly cachedRefusals: number;
  readonly lookupsInFlight: number;
  readonly hits: number;
  readonly misses: number;
}

export interface SealTokenValidator extends TokenValidator {
  /**
   * The decision on a token whose holder has proved itself in another way (a wallet signature).
   *
   * @param tokenId 0x + 64 hex
   * @param options `fresh`: read the chain, whatever is remembered
   */
  check(
    tokenId: string,
    nodeId: string,
    options?: { readonly fresh?: boolean },
  ): Promise<TokenDecision>;
  /**
   * Forgets what is known of a token, as its revocation demands.
   *
   * @param atCheckpoint where the chain said so: answers of nodes that stand before it are not
   * used any more
   */
  invalidate(tokenId: string, atCheckpoint?: bigint): void;
  /** As `invalidate`, of every token of a node. */
  invalidateNode(nodeId: string, atCheckpoint?: bigint): void;
  /**
   * Reads the registry now, whatever is remembered of it.
   *
   * @throws {RegistryUnusable} where it is none, another contract's or another cluster's
   * @throws {LedgerUnavailable} @throws {LedgerProtocolError}
   */
  checkRegistry(signal: AbortSignal): Promise<void>;
  stats(): SealTokenValidatorStats;
}

interface Flight {
  decision: Promise<TokenDecision>;
  /** Set when the token was invalidated while the question was on its way. */
  stale: boolean;
  /** Whether one who waits would also have taken a remembered answer: then this one is remembered. */
  isKept: boolean;
}

/** A yes, kept as the promise that callers get, so that answering again allocates nothing. */
interface Admitted {
  readonly nodeId: string;
  readonly expiresAtMs: number;
  readonly decision: Promise<TokenDecision>;
}

const PREFIX = "seal_";
const TOKEN_LENGTH = PREFIX.length + 66;

const MALFORMED = Promise.resolve(
  refuse("malformed", "a Seal token is written seal_0x and 64 lower-case hex digits"),
);
const BEARER_NOT_ALLOWED = Promise.resolve(refuse(
  "bearer_not_allowed",
  "the id of a Seal token is public, so knowing it proves nothing: prove the token with a wallet " +
    "signature (POST /api/v1/admission/challenge), or start the master with " +
    "--legacy-bearer-tokens to accept bare ids",
));
const WRONG_NODE = Promise.resolve(
  refuse("wrong_node", "the token was issued for another node id"),
);
const EXPIRED_NOW = Promise.resolve(EXPIRED);

/** @throws {TypeError} when an id or the cluster id is malformed */
export function createSealTokenValidator(options: SealTokenValidatorOptions): SealTokenValidator {
  return new ChainValidator(options);
}

class ChainValidator implements SealTokenValidator {
  readonly #reader: TokenReader;
  readonly #clock: () => number;
  readonly #allowLegacyBearer: boolean;
  readonly #cacheTtlMs: number;
  readonly #negativeCacheTtlMs: number;
  readonly #timeoutMs: number;
  readonly #maxLookups: number;
  readonly #admitted: TokenCache<Admitted>;
  readonly #refused: TokenCache<Promise<TokenDecision>>;
  readonly #flights = new Map<string, Flight>();
  #hits = 0;
  #misses = 0;

  constructor(options: SealTokenValidatorOptions) {
    this.#reader = new TokenReader(options);
    this.#clock = options.clock;
    this.#allowLegacyBearer = options.allowLegacyBearer;
    this.#cacheTtlMs = options.cacheTtlMs ?? 30_000;
    this.#negativeCacheTtlMs = options.negativeCacheTtlMs ?? 5_000;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    this.#maxLookups = options.maxLookups ?? 1_000;
    const maxEntries = options.maxCacheEntries ?? 10_000;
    this.#admitted = new TokenCache(maxEntries);
    // Apart, so that strangers' refusals cannot push members out.
    this.#refused = new TokenCache(maxEntries);
  }

  validate(presentation: TokenPresentation): Promise<TokenDecision> {
    const { token, nodeId } = presentation;
    if (token.length !== TOKEN_LENGTH || !token.startsWith(PREFIX)) return MALFORMED;
    if (this.#allowLegacyBearer) return this.check(token.slice(PREFIX.length), nodeId);
    return isCanonicalAddress(token.slice(PREFIX.length)) ? BEARER_NOT_ALLOWED : MALFORMED;
  }

  check(
    tokenId: string,
    nodeId: string,
    options?: { readonly fresh?: boolean },
  ): Promise<TokenDecision> {
    if (options?.fresh === true) {
      return isCanonicalAddress(tokenId) ? this.#ask(tokenId, nodeId, false) : MALFORMED;
    }
    const nowMs = this.#clock();
    const admitted = this.#admitted.get(tokenId, nowMs);
    if (admitted !== undefined) {
      this.#hits++;
      if (nowMs >= admitted.expiresAtMs) return EXPIRED_NOW;
      return admitted.nodeId === nodeId ? admitted.decision : WRONG_NODE;
    }
    const refused = this.#refused.get(tokenId, nowMs);
    if (refused !== undefined) {
      this.#hits++;
      return refused;
    }
    if (!isCanonicalAddress(tokenId)) return MALFORMED;
    this.#misses++;
    return this.#ask(tokenId, nodeId, true);
  }

  invalidate(tokenId: string, atCheckpoint?: bigint): void {
    if (atCheckpoint !== undefined) this.#reader.requireCheckpoint(atCheckpoint);
    this.#admitted.delete(tokenId);
    this.#refused.delete(tokenId);
    const flight = this.#flights.get(tokenId);
    if (flight !== undefined) {
      flight.stale = true;
      this.#flights.delete(tokenId);
    }
  }

  invalidateNode(nodeId: string, atCheckpoint?: bigint): void {
    if (atCheckpoint !== undefined) this.#reader.requireCheckpoint(atCheckpoint);
    this.#admitted.deleteWhere((entry) => entry.nodeId === nodeId);
    // Whose tokens the questions on their way are is not known yet.
    for (const flight of this.#flights.values()) flight.stale = true;
    this.#flights.clear();
  }

  checkRegistry(signal: AbortSignal): Promise<void> {
    return this.#reader.checkRegistry(signal);
  }

  stats(): SealTokenValidatorStats {
    return {
      cached: this.#admitted.size,
      cachedRefusals: this.#refused.size,
      lookupsInFlight: this.#flights.size,
      hits: this.#hits,
      misses: this.#misses,
    };
  }

  /** One question per token at a time; everyone who wants to know waits for the same answer. */
  async #ask(tokenId: string, nodeId: string, isKept: boolean): Promise<TokenDecision> {
    for (let attempt = 0; attempt < 3; attempt++) {
      let flight = this.#flights.get(tokenId);
      if (flight === undefined) {
        if (this.#flights.size >= this.#maxLookups) {
          throw new LedgerUnavailable(`more than ${this.#maxLookups} token lookups wait`, {
            hint: "the Sui endpoint is slower than what is asked of it",
          });
        }
        flight = { decision: BEARER_NOT_ALLOWED, stale: false, isKept };
        this.#flights.set(tokenId, flight);
        flight.decision = this.#look(tokenId, flight);
      }
      flight.isKept ||= isKept;
      try {
        const decision = await flight.decision;
        if (flight.stale) continue; // revoked meanwhile: ask again
        return decision.valid && decision.token.nodeId !== nodeId ? await WRONG_NODE : decision;
      } finally {
        if (this.#flights.get(tokenId) === flight) this.#flights.delete(tokenId);
      }
    }
    throw new LedgerUnavailable(`token ${tokenId} keeps changing while it is looked up`);
  }

  async #look(tokenId: string, flight: Flight): Promise<TokenDecision> {
    const startedMs = this.#clock();
    const timer = new AbortController();
    const timeout = setTimeout(
      () => timer.abort(new DOMException("the chain took too long", "TimeoutError")),
      this.#timeoutMs,
    );
    let decision: TokenDecision;
    try {
      decision = await this.#reader.read(tokenId, timer.signal);
    } finally {
      clearTimeout(timeout);
    }
    if (flight.stale) return decision;
    // An answer that nobody remembers still ends what was remembered before it.
    this.#admitted.delete(tokenId);
    this.#refused.delete(tokenId);
    if (flight.isKept) this.#keep(tokenId, decision, startedMs);
    return decision;
  }

  #keep(tokenId: string, decision: TokenDecision, startedMs: number): void {
    const kept = Promise.resolve(decision);
    if (decision.valid) {
      const { nodeId, expiresAtMs } = decision.token;
      this.#admitted.set(
        tokenId,
        { nodeId, expiresAtMs, decision: kept },
        startedMs,
        startedMs + this.#cacheTtlMs,
      );
    } else {
      this.#refused.set(tokenId, kept, startedMs, startedMs + this.#negativeCacheTtlMs);
    }
  }
}
