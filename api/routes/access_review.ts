/** `SelfSubjectAccessReview`: what `kubectl auth can-i` asks. */
import * as v from "valibot";
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, readBody } from "../http.ts";
import type { Verb } from "../k8s/authorize.ts";
import { bodyFormat, decodeDocument } from "../k8s/decode.ts";
import { decodeProtobufObject } from "../k8s/protobuf.ts";
import { StatusError } from "../k8s/status.ts";
import { requireUser } from "../middleware/authenticate.ts";

const PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

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

const review = v.looseObject({
  spec: v.looseObject({
    resourceAttributes: v.optional(v.looseObject({
      namespace: v.optional(v.string(), ""),
      verb: v.optional(v.string(), ""),
      group: v.optional(v.string(), ""),
      resource: v.optional(v.string(), ""),
      subresource: v.optional(v.string(), ""),
      name: v.optional(v.string(), ""),
    })),
    nonResourceAttributes: v.optional(v.looseObject({})),
  }),
});

export function accessReviewRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  app.post(PATH, async (c) => {
    const user = requireUser(c, deps);
    const bytes = await readBody(c, deps.limits.bodyBytes);
    const format = bodyFormat(c.req.header("content-type"));
    const document = format === "protobuf"
      ? decodeProtobufObject(bytes, deps.k8s.schemas)
      : decodeDocument(bytes, format);
    const result = v.safeParse(review, document);
    if (!result.success) throw new StatusError("BadRequest", "this is no access review");
    const { resourceAttributes: asked } = result.output.spec;
    const verb = VERBS.find((known) => known === asked?.verb);
    const decision = asked === undefined || verb === undefined
      ? { allowed: user.groups.includes("system:masters"), reason: "" }
      : await deps.k8s.authorize({
        user,
        verb,
        group: asked.group,
        resource: asked.subresource === ""
          ? asked.resource
          : `${asked.resource}/${asked.subresource}`,
        namespace: asked.namespace,
        name: asked.name,
      });
    return c.json({
      kind: "SelfSubjectAccessReview",
      apiVersion: "authorization.k8s.io/v1",
      metadata: { creationTimestamp: null },
      spec: result.output.spec,
      status: {
        allowed: decision.allowed,
        ...("reason" in decision && decision.reason !== "" ? { reason: decision.reason } : {}),
      },
    }, 201);
  });
}
