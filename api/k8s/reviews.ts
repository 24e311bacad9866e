/** What somebody may ask about themselves: who they are, what they may do. Nothing of it is stored. */
import type { Store } from "../../store/mod.ts";
import { ADMIN_GROUP, NODE_GROUP, type User } from "./authorize.ts";
import { boundRules } from "./rbac.ts";
import type { ResourceTable } from "./resources.ts";

export interface ReviewKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
}

const kindOf = (group: string, kind: string): ReviewKind => ({
  group,
  version: "v1",
  kind,
  plural: `${kind.toLowerCase()}s`,
  singular: kind.toLowerCase(),
});

export const SELF_REVIEW = kindOf("authentication.k8s.io", "SelfSubjectReview");
export const ACCESS_REVIEW = kindOf("authorization.k8s.io", "SelfSubjectAccessReview");
export const RULES_REVIEW = kindOf("authorization.k8s.io", "SelfSubjectRulesReview");
export const REVIEWS: readonly ReviewKind[] = [SELF_REVIEW, ACCESS_REVIEW, RULES_REVIEW];

/** Paths beside resources that whoever is known here may read. */
const READABLE: readonly string[] = [
  "/api",
  "/api/*",
  "/apis",
  "/apis/*",
  "/health",
  "/livez",
  "/livez/*",
  "/metrics",
  "/openapi",
  "/openapi/*",
  "/readyz",
  "/readyz/*",
  "/version",
];

/** Whether the user may do this to a path that is no resource. */
export function mayAskPath(user: User, verb: string, path: string): boolean {
  if (user.groups.includes(ADMIN_GROUP)) return true;
  return verb === "get" &&
    READABLE.some((known) =>
      known.endsWith("*") ? path.startsWith(known.slice(0, -1)) : path === known
    );
}

export interface ResourceRule {
  readonly verbs: readonly string[];
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly resourceNames?: readonly string[];
}

/** SubjectRulesReviewStatus. */
export interface RulesStatus {
  readonly resourceRules: readonly ResourceRule[];
  readonly nonResourceRules: readonly {
    readonly verbs: readonly string[];
    readonly nonResourceURLs: readonly string[];
  }[];
  /** There is more than rules can say. */
  readonly incomplete: boolean;
  readonly evaluationError?: string;
}

/** What the user may do in a namespace, as far as rules say it. */
export async function rulesOfUser(
  store: Store,
  table: ResourceTable,
  user: User,
  namespace: string,
): Promise<RulesStatus> {
  if (user.groups.includes(ADMIN_GROUP)) {
    return {
      resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
      nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
      incomplete: false,
    };
  }
  const resourceRules: ResourceRule[] = REVIEWS.map(({ group, plural }) => ({
    verbs: ["create"],
    apiGroups: [group],
    resources: [plural],
  }));
  for await (const rule of boundRules(store, table, user, namespace)) {
    const resourceNames = texts(rule["resourceNames"]);
    resourceRules.push({
      verbs: texts(rule["verbs"]),
      apiGroups: texts(rule["apiGroups"]),
      resources: texts(rule["resources"]),
      ...(resourceNames.length === 0 ? {} : { resourceNames }),
    });
  }
  const nonResourceRules = [{ verbs: ["get"], nonResourceURLs: READABLE }];
  return user.groups.includes(NODE_GROUP)
    ? {
      resourceRules,
      nonResourceRules,
      incomplete: true,
      evaluationError: "node authorizer does not support user rule resolution",
    }
    : { resourceRules, nonResourceRules, incomplete: false };
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
