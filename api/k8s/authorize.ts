/** Who may do what to which resource. Default deny; a negative answer is a value with a reason. */
import type { SuiGrant } from "../deps.ts";

/** Who asks. Names follow Kubernetes: `system:node:<id>`, `sui:<address>`. */
export interface User {
  readonly name: string;
  readonly groups: readonly string[];
}

/** Members may do everything, as in Kubernetes. */
export const ADMIN_GROUP = "system:masters";
/** Whoever acts through an event on chain. */
export const CHAIN_GROUP = "nautilus:chain";
export const NODE_GROUP = "system:nodes";

export type Verb =
  | "get"
  | "list"
  | "watch"
  | "create"
  | "update"
  | "patch"
  | "delete"
  | "deletecollection";

/** What is asked for. `namespace` is "" for the whole cluster. */
export interface AccessRequest {
  readonly user: User;
  readonly verb: Verb;
  readonly group: string;
  /** Plural, with the subresource: `pods`, `pods/status`. */
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  /** Of a list or watch, as the client wrote it. */
  readonly fieldSelector?: string;
}

export type AccessDecision =
  | { readonly allowed: true }
  /** `final`: no role can allow it either. */
  | { readonly allowed: false; readonly reason: string; readonly final?: true };

/** Decides at once, without looking at what is stored. */
export interface Authorizer {
  authorize(request: AccessRequest): AccessDecision;
}

/** Never through the chain, whatever the grants say: everything on chain is public. */
const NEVER_ON_CHAIN: ReadonlySet<string> = new Set(["secrets"]);

/** The user that a chain address acts as. */
export function chainUser(address: string): User {
  return { name: `sui:${address}`, groups: [CHAIN_GROUP] };
}

/** Admin may all; chain addresses what they are granted; nobody else anything. */
export function createAuthorizer(grants: readonly SuiGrant[]): Authorizer {
  const byAddress = new Map<string, SuiGrant[]>();
  for (const grant of grants) {
    const list = byAddress.get(grant.address) ?? [];
    list.push(grant);
    byAddress.set(grant.address, list);
  }
  return {
    authorize(request) {
      const { user } = request;
      if (user.groups.includes(ADMIN_GROUP)) return { allowed: true };
      if (user.groups.includes(CHAIN_GROUP) && user.name.startsWith("sui:")) {
        return chainDecision(request, byAddress.get(user.name.slice("sui:".length)) ?? []);
      }
      return { allowed: false, reason: "no rule allows it" };
    },
  };
}

function chainDecision(request: AccessRequest, grants: readonly SuiGrant[]): AccessDecision {
  const [plural = ""] = request.resource.split("/", 1);
  if (NEVER_ON_CHAIN.has(plural)) {
    return {
      allowed: false,
      reason: `${plural} are never read or written through the chain`,
      final: true,
    };
  }
  const granted = grants.some((grant) =>
    matches(grant.namespaces, request.namespace) && matches(grant.verbs, request.verb) &&
    grant.resources.some((resource) => coversResource(resource, request))
  );
  return granted ? { allowed: true } : { allowed: false, reason: "no grant covers it" };
}

/** "*" stands for any; the whole cluster (namespace "") is covered by nothing but "*". */
function matches(list: readonly string[], value: string): boolean {
  return list.includes("*") || (value !== "" && list.includes(value));
}

/**
 * `pods`, `deployments.apps`, `pods/status`, or `*`. A star stops short of roles and bindings: with
 * those one could grant oneself the rest, so they must be named.
 */
function coversResource(granted: string, request: AccessRequest): boolean {
  if (granted === "*") return request.group !== "rbac.authorization.k8s.io";
  if (granted === request.resource) return true;
  return request.group !== "" && granted === `${request.resource}.${request.group}`;
}
