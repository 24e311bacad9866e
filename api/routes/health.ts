/** `GET /health`: the first implementation's fields, each telling what is so. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import type { DirectHandler } from "../direct.ts";
import { type ApiEnv, methodNotAllowed } from "../http.ts";
import { stalledDisk } from "./probes.ts";

/** The answer of `/health`. */
export interface HealthDocument {
  /** `healthy`; `degraded`: some of it is missing, see `problems`; `failed`: the store is lost (503). */
  readonly status: "healthy" | "degraded" | "failed";
  /** Whether a TEE protects this process at all: false in the simulation. */
  readonly enclave: boolean;
  /** What really runs in this process. */
  readonly components: readonly string[];
  /** `connected`, or the reader's state: disabled, connecting, unreachable, blocked, stopped. */
  readonly sui_events: string;
  readonly sui_events_detail: string;
  readonly tee_type: string;
  readonly security_level: number;
  readonly covers: string;
  /** Hex. */
  readonly measurement: string;
  /** Seconds since the epoch. */
  readonly timestamp: number;
  readonly version: string;
  readonly rollback_protection: "none" | "accident" | "host";
  /** Decimal. */
  readonly anchored_sequence: string | null;
  readonly chain_trust: string;
  readonly admission: string;
  /** Whether results of chain requests are written back on chain; `failing`: the last try failed. */
  readonly result_write_back: "off" | "on" | "failing" | "held";
  readonly result_write_back_detail: string;
  /** Address that signs and pays for it. */
  readonly result_signer: string | null;
  readonly problems: readonly string[];
}

/** What `/health` answers now. */
export function healthDocument(deps: ApiDeps): HealthDocument {
  const { tee, store } = deps;
  const chain = deps.chain.status();
  const rollback = deps.rollbackProtection();
  const writeBack = deps.writeBack();
  const failed = store.failure !== undefined;
  const problems: string[] = [];
  if (failed) problems.push("the store failed: nothing is read or written any more");
  const stalled = failed ? undefined : stalledDisk(store);
  if (stalled !== undefined) problems.push(stalled);
  if (chain.state === "unreachable" || chain.state === "blocked") {
    problems.push(`the chain's events are not followed: ${chain.state}`);
  }
  const registry = deps.registryProblem();
  if (registry !== undefined) problems.push(`nobody can be admitted: ${registry}`);
  if (writeBack.state === "failing" || writeBack.state === "held") {
    problems.push(`results of chain requests are not written back: ${writeBack.detail}`);
  }
  if (deps.legacyBearerTokens) {
    problems.push("bearer Seal tokens are accepted: their ids are public, anybody can present one");
  }
  if (deps.stopping()) problems.push("the master is stopping");
  return {
    status: failed ? "failed" : problems.length > 0 ? "degraded" : "healthy",
    enclave: tee.covers !== "none",
    components: [
      "http-api",
      "kubernetes-api",
      "sealed-store",
      "attestation",
      ...(deps.admission === "configured" ? ["admission"] : []),
      ...(deps.admissions?.demandsEvidence === true ? ["worker-appraisal"] : []),
      ...(chain.state === "disabled" || chain.state === "stopped" ? [] : ["chain-listener"]),
    ],
    sui_events: chain.state === "following" ? "connected" : chain.state,
    sui_events_detail: chain.detail,
    tee_type: tee.kind,
    security_level: tee.securityLevel,
    covers: tee.covers,
    measurement: tee.measurement.toHex(),
    timestamp: Math.floor(deps.clock() / 1000),
    version: deps.version,
    rollback_protection: rollback.level,
    anchored_sequence: rollback.anchoredSequence?.toString() ?? null,
    chain_trust: deps.chainTrust,
    admission: deps.admission,
    result_write_back: writeBack.state,
    result_write_back_detail: writeBack.detail,
    result_signer: writeBack.address ?? null,
    problems,
  };
}

/** For the direct lane. @throws {Error} where the answer is no 200: the app gives it then */
export function healthHandler(deps: ApiDeps): DirectHandler {
  return () => {
    const document = healthDocument(deps);
    if (document.status === "failed") throw new HealthFailed();
    return JSON.stringify(document);
  };
}

/** The direct lane has no words for this. */
class HealthFailed extends Error {
  override readonly name = "HealthFailed";
}

export function healthRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  app.get("/health", (c) => {
    const document = healthDocument(deps);
    return c.json(document, document.status === "failed" ? 503 : 200);
  });
  app.all("/health", methodNotAllowed("GET", "HEAD"));
}
