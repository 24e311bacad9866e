/** Kubernetes resources at their real paths: from HTTP to the service and back. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, readBody } from "../http.ts";
import type { User, Verb } from "../k8s/authorize.ts";
import { bodyFormat, decodeDocument, MAX_OBJECT_BYTES } from "../k8s/decode.ts";
import { encodeOutcome } from "../k8s/encode.ts";
import { parseResourcePath, type ResourcePath } from "../k8s/paths.ts";
import type { K8sRequest } from "../k8s/request.ts";
import { StatusError } from "../k8s/status.ts";
import { requireUser } from "../middleware/authenticate.ts";
import { listQuery, writeQuery } from "./kubernetes_query.ts";

export function kubernetesRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const handle = (c: ApiContext) => kubernetes(c, deps);
  app.all("/api/*", handle);
  app.all("/apis/*", handle);
}

async function kubernetes(c: ApiContext, deps: ApiDeps): Promise<Response> {
  const user = requireUser(c, deps);
  const path = parseResourcePath(new URL(c.req.url).pathname);
  if (path === undefined) throw unknownPath();
  return await resource(c, deps, user, path);
}

function unknownPath(): StatusError {
  return new StatusError("NotFound", "the server could not find the requested resource");
}

async function resource(
  c: ApiContext,
  deps: ApiDeps,
  user: User,
  path: ResourcePath,
): Promise<Response> {
  // A kind that is not served is 404 whatever the method.
  deps.k8s.resource(path.group, path.version, path.plural);
  const { subresource } = path;
  if (subresource !== undefined && subresource !== "status") throw unknownPath();
  const verb = verbOf(c, path);
  const { group, version, plural, namespace, name } = path;
  const target: Omit<K8sRequest, "verb"> = {
    user,
    group,
    version,
    plural,
    namespace,
    name,
    ...(subresource === undefined ? {} : { subresource }),
  };
  const request: K8sRequest = {
    ...target,
    verb,
    options: verb === "list" || verb === "deletecollection" ? listQuery(c) : writeQuery(c),
    ...await requestBody(c, verb),
  };
  const outcome = await deps.k8s.execute(request);
  c.header("Content-Type", "application/json");
  return c.body(encodeOutcome(outcome), outcome.code);
}

async function requestBody(c: ApiContext, verb: Verb): Promise<{ body?: unknown }> {
  if (verb === "get" || verb === "list") return {};
  const bytes = await readBody(c, MAX_OBJECT_BYTES);
  if (bytes.length === 0) {
    if (verb === "delete" || verb === "deletecollection") return {};
    throw new StatusError("BadRequest", "the body is empty");
  }
  return { body: decodeDocument(bytes, bodyFormat(c.req.header("content-type"))) };
}

const COLLECTION: Readonly<Record<string, Verb>> = {
  GET: "list",
  HEAD: "list",
  POST: "create",
  DELETE: "deletecollection",
};
const OBJECT: Readonly<Record<string, Verb>> = {
  GET: "get",
  HEAD: "get",
  PUT: "update",
  DELETE: "delete",
};
const SUBRESOURCE: Readonly<Record<string, Verb>> = { GET: "get", HEAD: "get", PUT: "update" };

function verbOf(c: ApiContext, path: ResourcePath): Verb {
  const verbs = path.name === ""
    ? COLLECTION
    : path.subresource === undefined
    ? OBJECT
    : SUBRESOURCE;
  const verb = Object.hasOwn(verbs, c.req.method) ? verbs[c.req.method] : undefined;
  if (verb === undefined) {
    throw new StatusError(
      "MethodNotAllowed",
      "the server does not allow this method on the requested resource",
      { headers: { Allow: Object.keys(verbs).join(", ") } },
    );
  }
  return verb;
}
