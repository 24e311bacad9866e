/** What a chain event wants done here, as guards and writes, and what it comes to once it is. */
import { createHash, hash } from "node:crypto";
import type { Compare, Operation } from "../store/mod.ts";
import type { ChainEvent, K8sRequestFromChain } from "../sui/chain_event.ts";
import type { EventResult } from "./chain_results.ts";
import { requestFromChain } from "./k8s/chain_request.ts";
import type { K8sOutcome, K8sRequest, Planned } from "./k8s/request.ts";
import type { K8sService } from "./k8s/service.ts";
import { StatusError } from "./k8s/status.ts";
import { ApiProblem } from "./problem.ts";
import type { WorkerChange, Workers } from "./workers.ts";

/** Guards, writes, and the result of both. */
export interface Effect {
  readonly compare: readonly Compare[];
  readonly operations: readonly Operation[];
  result(k8sRevision: number): EventResult;
  applied?(systemRevision: number): void;
}

/**
 * What of the cluster the effect is planned from: nothing; the one object of that name (and what no
 * other request that may be on its way can change); or anything.
 */
export type Reach = "nothing" | "everything" | { readonly object: string };

/** An event that is understood, not yet planned. */
export interface Intent {
  readonly reach: Reach;
  /** Reads what is durable now. Throws only what a retry may heal. */
  plan(): Promise<Effect>;
}

/** Groups whose objects decide about requests for others. */
const GOVERNING_GROUPS = new Set([
  "rbac.authorization.k8s.io",
  "apiextensions.k8s.io",
  "admissionregistration.k8s.io",
]);
const ONE_OBJECT = new Set<K8sRequest["verb"]>(["get", "create", "update", "delete"]);

/** Understands the event. @throws only what a retry may heal */
export async function intentOf(
  event: ChainEvent,
  { k8s, workers }: { readonly k8s: K8sService; readonly workers: Workers },
): Promise<Intent> {
  switch (event.kind) {
    case "k8s_request":
      return await requestIntent(k8s, event.request);
    case "worker_status_changed":
      return workerIntent(
        event.kind,
        () => workers.planStatusChange(event.nodeId, event.newStatus),
      );
    case "seal_token_revoked":
      return workerIntent(
        event.kind,
        () => workers.planTokenRevoked(event.nodeId, `seal_${event.tokenId}`),
      );
    case "undecodable":
      return settled({ kind: event.kind, success: false, code: 400, reason: event.reason });
    case "k8s_result":
    case "worker_registered":
    case "unknown":
      // Nothing to do: a registration counts when the worker presents its token.
      return settled({ kind: event.kind, success: true, code: 200 });
  }
}

/** The same event, refused as too large for the store: what it will never take must not come back. */
export function tooLarge(effect: Effect): Effect {
  return nothing({
    ...effect.result(0),
    success: false,
    code: 413,
    reason: "the object is larger than the store takes",
  });
}

/** A request that is noted as passed over: a restored store does not know what came after it. */
export function skipped(request: K8sRequestFromChain): Intent {
  return settled({
    ...requestBase(request),
    success: false,
    code: 409,
    reason: "passed over after a restore: it may have been executed before; look, and ask again",
  });
}

function requestBase(
  request: K8sRequestFromChain,
): Pick<EventResult, "kind" | "requester" | "requestId"> {
  return {
    kind: "k8s_request",
    requester: request.requester,
    ...(request.requestId === undefined ? {} : { requestId: request.requestId }),
  };
}

async function requestIntent(k8s: K8sService, request: K8sRequestFromChain): Promise<Intent> {
  const base = requestBase(request);
  const refused = (error: unknown): EventResult => {
    if (error instanceof StatusError && error.code < 500) {
      return { ...base, success: false, code: error.code, reason: error.message };
    }
    if (error instanceof ApiProblem && error.status < 500) {
      return { ...base, success: false, code: error.status, reason: error.message };
    }
    throw error;
  };
  const kinds = await k8s.kinds.current();
  let wanted: K8sRequest;
  try {
    wanted = requestFromChain(request, kinds);
  } catch (error) {
    return settled(refused(error));
  }
  return {
    reach: reachOf(wanted),
    async plan() {
      let planned: Planned;
      try {
        planned = await k8s.plan(wanted);
      } catch (error) {
        return nothing(refused(error));
      }
      const result = (outcome: K8sOutcome): EventResult => ({
        ...base,
        success: true,
        code: outcome.code,
        digest: digestOf(outcome),
        ...("change" in outcome && outcome.change !== undefined ? { change: outcome.change } : {}),
      });
      if (planned.kind === "done") return nothing(result(planned.outcome));
      return {
        compare: planned.compare,
        operations: planned.operations,
        result: (revision) => result(planned.outcome(revision)),
      };
    },
  };
}

/** Namespaces, roles and kinds decide about other objects, and lists see many. */
function reachOf({ verb, group, plural, namespace, name, body }: K8sRequest): Reach {
  const named = name !== "" ? name : nameIn(body);
  const isOne = ONE_OBJECT.has(verb) && namespace !== "" && named !== undefined;
  if (!isOne || GOVERNING_GROUPS.has(group)) return "everything";
  return { object: `${group}/${plural}/${namespace}/${named}` };
}

function nameIn(body: unknown): string | undefined {
  if (typeof body !== "object" || body === null || !("metadata" in body)) return undefined;
  const { metadata } = body;
  if (typeof metadata !== "object" || metadata === null || !("name" in metadata)) return undefined;
  return typeof metadata.name === "string" && metadata.name !== "" ? metadata.name : undefined;
}

/** Over the bytes as stored, so without the resource version: the chain learns no more than that. */
function digestOf(outcome: K8sOutcome): string {
  switch (outcome.kind) {
    case "object":
      return hash("sha256", outcome.object.stored, "hex");
    case "document":
      return hash("sha256", JSON.stringify(outcome.document), "hex");
    case "status":
      return hash("sha256", JSON.stringify(outcome.status), "hex");
    case "list": {
      const digest = createHash("sha256");
      for (const item of outcome.items) {
        digest.update(createHash("sha256").update(item.stored).digest());
      }
      return digest.digest("hex");
    }
  }
}

function nothing(result: EventResult): Effect {
  return { compare: [], operations: [], result: () => result };
}

function settled(result: EventResult): Intent {
  return { reach: "nothing", plan: () => Promise.resolve(nothing(result)) };
}

function workerIntent(
  kind: ChainEvent["kind"],
  change: () => Promise<WorkerChange | undefined>,
): Intent {
  return {
    reach: "everything",
    async plan() {
      const planned = await change();
      const result: EventResult = planned === undefined
        ? { kind, success: true, code: 200, reason: "no such worker is registered here" }
        : { kind, success: true, code: 200 };
      if (planned === undefined) return nothing(result);
      return {
        compare: planned.compare,
        operations: planned.operations,
        result: () => result,
        applied: (revision) => planned.applied(revision),
      };
    },
  };
}
