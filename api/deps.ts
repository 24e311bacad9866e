/** What the HTTP side needs from the rest; constructed in main, passed to `createApp`. */
import type { Logger } from "@logtape/logtape";
import type { Tracer } from "@opentelemetry/api";
import type { Bytes, Covers, SecurityLevel, TeeType } from "../backends/mod.ts";
import type { VerifyServiceDeps } from "../backends/verify_request.ts";
import type { Store } from "../store/mod.ts";
import type { EtcdAuthority } from "./etcd/authority.ts";
import type { AttestationBundle } from "../backends/attestation.ts";
import type { Admin } from "./admin/service.ts";
import type { AuditLog } from "./audit/mod.ts";
import type { K8sService } from "./k8s/service.ts";
import type { KubernetesUpstream } from "./k8s/upstream.ts";
import type { Admissions } from "./admissions.ts";
import type { K3sJoins } from "./k3s_join.ts";
import type { StoredResult } from "./chain_results.ts";
import type { WriteBackStatus } from "./result_writer.ts";
import type { Workers } from "./workers.ts";

/** Milliseconds since the epoch; injected so that tests own time. */
export type Clock = () => number;

export interface TeeFacts {
  readonly kind: TeeType;
  readonly securityLevel: SecurityLevel;
  readonly covers: Covers;
  readonly measurement: Bytes;
  /** Policies the sealer honours; undefined where the hardware cannot seal. */
  readonly sealPolicies: readonly string[] | undefined;
  /** Whether the hardware gives evidence. */
  readonly attests: boolean;
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
  /** Endpoints that announce new checkpoints now; with 0 the chain is asked at an interval. */
  readonly subscribed: number;
}

/** A namespace/verb/kind grant to a chain address; nothing is granted otherwise. */
export interface SuiGrant {
  /** 0x + 64 hex. */
  readonly address: string;
  readonly namespaces: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly string[];
}

/** `host`: not even the host can bring an older store back; `accident`: only a mishap is noticed. */
export interface RollbackProtection {
  readonly level: "none" | "accident" | "host";
  /** Sequence of the store that an anchor holds; undefined without one. */
  readonly anchoredSequence: bigint | undefined;
}

/** Whose word the chain's answers are: nobody's (no chain), one endpoint's, several's, or checked. */
export type ChainTrust = "none" | "single" | "quorum" | "verified";

/** What a client may use up. Rates are per second, with a burst. */
export interface ApiLimits {
  /** Bodies of our own endpoints. */
  readonly bodyBytes: number;
  /** All attestations together: hardware has few reports to give. */
  readonly attestations: RateLimit;
  /** Registrations from one address. */
  readonly registrations: RateLimit;
  /** Challenges for admission, to one address. */
  readonly challenges: RateLimit;
  /** Appraisals for one address. */
  readonly verifications: RateLimit;
  /** Hints about events from one address. */
  readonly suiEvents: RateLimit;
  /** Challenges and logins of the admin from one address. */
  readonly adminLogins: RateLimit;
  /** Requests with a token that is not known, from one address; beyond it 429 instead of 401. */
  readonly failures: RateLimit;
  /** Refused requests from one address; beyond it the answers come late and end the connection. */
  readonly refusals: RateLimit;
  /** One open watch costs a buffer; beyond this, 429. */
  readonly watches: number;
}

export interface RateLimit {
  readonly perSecond: number;
  readonly burst: number;
}

export const DEFAULT_LIMITS: ApiLimits = Object.freeze({
  bodyBytes: 16 * 1024,
  attestations: { perSecond: 20, burst: 40 },
  registrations: { perSecond: 100, burst: 1_000 },
  challenges: { perSecond: 100, burst: 1_000 },
  verifications: { perSecond: 20, burst: 100 },
  suiEvents: { perSecond: 20, burst: 100 },
  adminLogins: { perSecond: 5, burst: 50 },
  failures: { perSecond: 10, burst: 100 },
  refusals: { perSecond: 50, burst: 200 },
  watches: 10_000,
});

/** All that `createApp` needs; nothing of it is optional, nothing is looked up elsewhere. */
export interface ApiDeps {
  readonly version: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: (length: number) => Bytes;
  readonly store: Store;
  readonly tee: TeeFacts;
  readonly attestor: NodeAttestor;
  readonly chain: ChainListenerView;
  readonly chainTrust: ChainTrust;
  readonly rollbackProtection: () => RollbackProtection;
  /** Whether a token validator is there; `/health` says so, registration answers 503 otherwise. */
  readonly admission: "configured" | "not_configured";
  /** Why the registry of workers cannot be used, as last read; undefined: it can, or nobody knows. */
  readonly registryProblem: () => string | undefined;
  /** Undefined where the operator configured no policies: `POST /api/v1/verify` answers 503. */
  readonly verifier: VerifyServiceDeps | undefined;
  readonly workers: Workers;
  /** Undefined where nobody can be admitted by proof. */
  readonly admissions: Admissions | undefined;
  /** Hands out what K3s needs to join; undefined where the master is not configured to. */
  readonly k3s?: K3sJoins | undefined;
  /** Whether a public id opens the door; `/health` warns of it. */
  readonly legacyBearerTokens: boolean;
  readonly writeBack: () => WriteBackStatus;
  /** Counts what waits to be written back now, for who asks `writeBack` next. */
  readonly countResults: () => Promise<void>;
  /** What became of the chain's requests that carried an id. */
  readonly requestResults: (requestId: string) => Promise<readonly StoredResult[]>;
  readonly k8s: K8sService;
  /** Makes the spans of requests; undefined without telemetry. */
  readonly tracer: Tracer | undefined;
  /** Where Kubernetes paths are proxied to; undefined: they are served here. */
  readonly upstream: KubernetesUpstream | undefined;
  /** `true` while the token of an Authorization header is the admin's. Constant time. */
  readonly isAdminToken: (token: string) => boolean;
  readonly admin: Admin;
  /** Lets clients of the etcd listener in. */
  readonly etcdAuthority: EtcdAuthority;
  readonly audit: AuditLog;
  /** `true` from the moment that the process was asked to stop: `/readyz` says no. */
  readonly stopping: () => boolean;
  readonly limits: ApiLimits;
}

/** Session tokens of admitted workers: issued once, stored only as a hash. */
export interface SessionTokens {
  issue(): { readonly token: string; readonly hash: string };
  hash(token: string): string;
}
