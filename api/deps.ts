/** What the HTTP side needs from the rest; constructed in main, passed to `createApp`. */
import type { Logger } from "@logtape/logtape";
import type { Bytes, Covers, SecurityLevel, TeeType } from "../backends/mod.ts";
import type { Store } from "../store/mod.ts";
import type { TokenValidator } from "../sui/seal_token.ts";
import type { AttestationBundle } from "../backends/attestation.ts";

/** Milliseconds since the epoch; injected so that tests own time. */
export type Clock = () => number;

export interface TeeFacts {
  readonly kind: TeeType;
  readonly securityLevel: SecurityLevel;
  readonly covers: Covers;
  readonly measurement: Bytes;
  /** Policies the sealer honours; undefined where the hardware cannot seal. */
  readonly sealPolicies: readonly string[] | undefined;
}

/** Makes the signed attestation answer of WIRE.md. */
export interface NodeAttestor {
  readonly enclaveId: string;
  attestation(nonce: Bytes | undefined): Promise<AttestationBundle>;
}

/** The reader of chain events, as `/health` and `/api/v1/sui-events` see it. */
export interface ChainListenerView {
  status(): ChainListenerStatus;
  /** Asks the reader to look now; never blocks, never carries data. */
  wake(): void;
}

export interface ChainListenerStatus {
  /** `blocked`: the chain answers, but an event could not be applied here (it is retried, never skipped). */
  readonly state: "disabled" | "connecting" | "following" | "unreachable" | "blocked" | "stopped";
  readonly detail: string;
  readonly cursor: string | undefined;
  readonly lastEventAt: number | undefined;
  readonly eventsApplied: number;
}

/** A namespace/verb/kind grant to a chain address; nothing is granted otherwise. */
export interface SuiGrant {
  /** 0x + 64 hex. */
  readonly address: string;
  readonly namespaces: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly string[];
}

export interface ApiDeps {
  readonly version: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: (length: number) => Bytes;
  readonly store: Store;
  readonly tee: TeeFacts;
  readonly attestor: NodeAttestor;
  /** Undefined where no contract or endpoint is configured: admission answers 503 and says so. */
  readonly validator: TokenValidator | undefined;
  readonly chain: ChainListenerView;
  /** `true` while the token of an Authorization header is the admin's. Constant time. */
  readonly isAdminToken: (token: string) => boolean;
  readonly sessions: SessionTokens;
  readonly grants: readonly SuiGrant[];
  readonly heartbeatTimeoutMs: number;
}

/** Session tokens of admitted workers: issued once, stored only as a hash. */
export interface SessionTokens {
  issue(): { readonly token: string; readonly hash: string };
  hash(token: string): string;
}
