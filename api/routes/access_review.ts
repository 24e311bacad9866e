/** What somebody asks about themselves: `kubectl auth can-i`, `can-i --list` and `whoami`. */
import * as v from "valibot";
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, readBody } from "../http.ts";
import type { User, Verb } from "../k8s/authorize.ts";
import { bodyFormat, decodeBody } from "../k8s/decode.ts";
import { decodeProtobufObject } from "../k8s/protobuf.ts";
import {
  ACCESS_REVIEW,
  mayAskPath,
  type ReviewKind,
  RULES_REVIEW,
  SELF_REVIEW,
} from "../k8s/reviews.ts";
import { StatusError } from "../k8s/status.ts";
import { requireUser } from "../middleware/authenticate.ts";

const VERBS = [
  "get",
  "list",
  "watch",
  "create",
  "update",
  "patch",
  "delete",
  "deletecollection",
] as const satisfies readonly Verb[];

const text = v.nullish(v.string(), "");
const accessSpec = v.looseObject({
  resourceAttributes: v.nullish(v.looseObject({
    namespace: text,
    verb: text,
    group: text,
    resource: text,
    subresource: text,
    name: text,
  })),
  nonResourceAttributes: v.nullish(v.looseObject({ path: text, verb: text })),
});
const accessReview = v.looseObject({ spec: accessSpec });
const rulesReview = v.looseObject({
  spec: v.looseObject({ namespace: v.pipe(v.string(), v.nonEmpty()) }),
});
const selfReview = v.looseObject({});

export function accessReviewRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  app.post(pathOf(SELF_REVIEW), async (c) => {
    const user = requireUser(c, deps);
    await reviewBody(c, deps, SELF_REVIEW, selfReview);
    const { name: username, groups } = user;
    return answer(c, SELF_REVIEW, { status: { userInfo: { username, groups } } });
  });
  app.post(pathOf(RULES_REVIEW), async (c) => {
    const user = requireUser(c, deps);
    const { spec } = await reviewBody(c, deps, RULES_REVIEW, rulesReview);
    const status = await deps.k8s.rules(user, spec.namespace);
    return answer(c, RULES_REVIEW, { spec, status });
  });
  app.post(pathOf(ACCESS_REVIEW), async (c) => {
    const user = requireUser(c, deps);
    const { spec } = await reviewBody(c, deps, ACCESS_REVIEW, accessReview);
    const decision = await decide(deps, user, spec);
    return answer(c, ACCESS_REVIEW, {
      spec,
      status: {
        allowed: decision.allowed,
        ...("reason" in decision && decision.reason !== "" ? { reason: decision.reason } : {}),
      },
    });
  });
}

function pathOf({ group, version, plural }: ReviewKind): string {
  return `/apis/${group}/${version}/${plural}`;
}

/** @throws {StatusError} BadRequest */
async function reviewBody<T extends v.GenericSchema>(
  c: ApiContext,
  deps: ApiDeps,
  { kind, version }: ReviewKind,
  schema: T,
): Promise<v.InferOutput<T>> {
  const bytes = await readBody(c, deps.limits.bodyBytes);
  const format = bodyFormat(c.req.header("content-type"));
  const document = format === "protobuf"
    ? decodeProtobufObject(bytes, deps.k8s.schemas)
    : decodeBody(bytes, format).value;
  const result = v.safeParse(schema, document, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new StatusError(
    "BadRequest",
    `${kind} in version "${version}" cannot be handled as a ${kind}: field "${
      v.getDotPath(issue) ?? ""
    }": expected ${issue.expected ?? "another value"}`,
  );
}

async function decide(
  deps: ApiDeps,
  user: User,
  { resourceAttributes: asked, nonResourceAttributes: path }: v.InferOutput<typeof accessSpec>,
): Promise<{ readonly allowed: boolean; readonly reason?: string }> {
  if ((asked ?? undefined) === undefined === ((path ?? undefined) === undefined)) {
    throw new StatusError(
      "Invalid",
      'SelfSubjectAccessReview.authorization.k8s.io "" is invalid: spec.resourceAttributes: Invalid value: "null": exactly one of nonResourceAttributes or resourceAttributes must be specified',
    );
  }
  if (path !== undefined && path !== null) {
    return { allowed: mayAskPath(user, path.verb, path.path) };
  }
  const verb = VERBS.find((known) => known === asked?.verb);
  if (asked === undefined || asked === null || verb === undefined) {
    return { allowed: user.groups.includes("system:masters") };
  }
  const { group, resource, subresource, namespace, name } = asked;
  return await deps.k8s.authorize({
    user,
    verb,
    group,
    resource: subresource === "" ? resource : `${resource}/${subresource}`,
    namespace,
    name,
  });
}

function answer(
  c: ApiContext,
  { group, version, kind }: ReviewKind,
  fields: Readonly<Record<string, unknown>>,
): Response {
  const apiVersion = `${group}/${version}`;
  return c.json({ kind, apiVersion, metadata: { creationTimestamp: null }, ...fields }, 201);
}
