/** Kubernetes resources at their real paths: from HTTP to the service and back. */
import type { Hono } from "@hono/hono";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, readBody } from "../http.ts";
import { ADMIN_GROUP, NODE_GROUP, type User, type Verb } from "../k8s/authorize.ts";
import { bodyFormat, decodeBody, MAX_OBJECT_BYTES } from "../k8s/decode.ts";
import { apiGroup, apiGroupList, apiResourceList, apiVersions } from "../k8s/discovery.ts";
import { encodeOutcome, listMeta } from "../k8s/encode.ts";
import { invalid } from "../k8s/errors.ts";
import { openApiDocument, openApiIndex } from "../k8s/openapi.ts";
import { decodePatch } from "../k8s/patch.ts";
import { parseResourcePath, type ResourcePath } from "../k8s/paths.ts";
import type { K8sRequest } from "../k8s/request.ts";
import { decodeProtobufObject } from "../k8s/protobuf.ts";
import type { KindSchemas } from "../k8s/schema.ts";
import { StatusError } from "../k8s/status.ts";
import { scaleTable, tableOf } from "../k8s/table.ts";
import { auditedAct } from "../middleware/audit.ts";
import { requireUser } from "../middleware/authenticate.ts";
import { answerForm, metadataListOf, metadataOf } from "./kubernetes_accept.ts";
import {
  booleanParameter,
  fieldManager,
  integerParameter,
  listQuery,
  writeQuery,
} from "./kubernetes_query.ts";
import { warningHeaders } from "./kubernetes_warnings.ts";
import { DEFAULT_WATCH_SECONDS, streamWatch, WatchGate } from "./kubernetes_watch.ts";

export function kubernetesRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const gate = new WatchGate(deps.limits.watches);
  const handle = (c: ApiContext) => kubernetes(c, deps, gate);
  app.all("/api", handle);
  app.all("/api/*", handle);
  app.all("/apis", handle);
  app.all("/apis/*", handle);
  app.get("/openapi/v3", async (c) => {
    requireUser(c, deps);
    return c.json(openApiIndex(await deps.k8s.kinds.current(), deps.version));
  });
  app.get("/openapi/v3/*", async (c) => {
    requireUser(c, deps);
    const path = c.req.path.slice("/openapi/v3/".length);
    const table = await deps.k8s.kinds.current();
    const document = openApiDocument(table, deps.k8s.schemas, path, deps.version);
    if (document === undefined) throw unknownPath();
    return c.json(document);
  });
}

async function kubernetes(c: ApiContext, deps: ApiDeps, gate: WatchGate): Promise<Response> {
  const user = requireUser(c, deps);
  const { pathname } = new URL(c.req.url);
  const path = parseResourcePath(pathname);
  if (path === undefined) return c.json(await discovery(c, deps, pathname));
  const run = () => resource(c, deps, gate, user, path);
  return isAdminAct(c, user, path) ? await auditedAct(c, deps, run) : await run();
}

/** What the admin changes, and any look at secrets, goes into the audit log first. */
function isAdminAct(c: ApiContext, user: User, path: ResourcePath): boolean {
  if (!user.groups.includes(ADMIN_GROUP)) return false;
  const isRead = c.req.method === "GET" || c.req.method === "HEAD";
  return !isRead || (path.group === "" && path.plural === "secrets");
}

/** @throws {StatusError} NotFound, MethodNotAllowed */
async function discovery(
  c: ApiContext,
  deps: ApiDeps,
  pathname: string,
): Promise<Record<string, unknown>> {
  const table = await deps.k8s.kinds.current();
  const [, root, first, second, ...more] = pathname.replace(/\/$/, "").split("/");
  let document: Record<string, unknown> | undefined;
  if (more.length > 0) throw unknownPath();
  if (root === "api" && second === undefined) {
    document = first === undefined ? apiVersions() : apiResourceList(table, "", first);
  } else if (root === "apis" && first === undefined) {
    document = apiGroupList(table);
  } else if (root === "apis" && first !== undefined) {
    document = second === undefined
      ? apiGroup(table, first)
      : apiResourceList(table, first, second);
  }
  if (document === undefined) throw unknownPath();
  if (c.req.method !== "GET") throw notAllowed(["GET", "HEAD"]);
  return document;
}

function notAllowed(methods: readonly string[]): StatusError {
  return new StatusError(
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    { headers: { Allow: methods.join(", ") } },
  );
}

/** @param why what is not here, where that is known */
function unknownPath(why = ""): StatusError {
  return new StatusError(
    "NotFound",
    `the server could not find the requested resource${why === "" ? "" : ` (${why})`}`,
    // client-go looks into them without asking whether they are there.
    { details: {} },
  );
}

/** What kubelets do, and a store of objects cannot. */
const OF_KUBELETS: readonly string[] = ["attach", "exec", "log", "portforward", "proxy"];

function unknownSubresource({ plural, subresource = "" }: ResourcePath): StatusError {
  return unknownPath(
    OF_KUBELETS.includes(subresource)
      ? `${plural}/${subresource} reaches into a node, and this server reaches none`
      : `${plural}/${subresource.slice(0, 63)} is not served here`,
  );
}

async function resource(
  c: ApiContext,
  deps: ApiDeps,
  gate: WatchGate,
  user: User,
  path: ResourcePath,
): Promise<Response> {
  // A kind that is not served is 404 whatever the method.
  const definition = await deps.k8s.resource(path.group, path.version, path.plural);
  const warn = (texts: Iterable<string>) => {
    for (const value of warningHeaders(texts)) c.header("Warning", value, { append: true });
  };
  if (definition.custom?.warning !== undefined) warn([definition.custom.warning]);
  const { subresource } = path;
  if (subresource !== undefined && subresource !== "status" && subresource !== "scale") {
    throw unknownSubresource(path);
  }
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
  const isRead = verb === "get" || verb === "list";
  const isWatch = isRead && subresource === undefined && booleanParameter(c, "watch");
  // Events of a watch are single objects, whatever it watches.
  const form = answerForm(c, verb === "list" && !isWatch);
  if (isWatch) {
    if (booleanParameter(c, "sendInitialEvents")) {
      throw invalid(definition, name, "sendInitialEvents", "Forbidden: not supported here");
    }
    const timeoutSeconds = integerParameter(c, "timeoutSeconds", DEFAULT_WATCH_SECONDS);
    return await streamWatch(c, deps, gate, () => deps.k8s.watch(target, listQuery(c)), {
      bookmarks: booleanParameter(c, "allowWatchBookmarks"),
      timeoutSeconds: timeoutSeconds === undefined || timeoutSeconds === 0
        ? DEFAULT_WATCH_SECONDS
        : timeoutSeconds,
      form,
      until: untilSessionEnds(user, deps),
    });
  }
  const warnings: string[] = [];
  const outcome = await deps.k8s.execute({
    ...target,
    verb,
    options: verb === "list" || verb === "deletecollection" ? listQuery(c) : writeQuery(c),
    ...await requestBody(c, verb, deps.k8s.schemas),
    warn: (text) => warnings.push(text),
  }).finally(() => warn(warnings)); // a refusal, too, carries what was said before it
  if (form.kind === "metadata") {
    if (outcome.kind === "list") return c.json(metadataListOf(outcome));
    if (outcome.kind === "object") return c.json(metadataOf(outcome.object), outcome.code);
  }
  if (form.kind === "table" && (outcome.kind === "list" || outcome.kind === "object")) {
    const items = outcome.kind === "list" ? outcome.items : [outcome.object];
    const metadata = outcome.kind === "list"
      ? listMeta(outcome)
      : { resourceVersion: String(outcome.object.revision) };
    const now = deps.clock();
    const code = outcome.kind === "list" ? 200 : outcome.code;
    return c.json(tableOf(definition, items, metadata, form.include, now), code);
  }
  if (form.kind === "table" && outcome.kind === "document") {
    return c.json(scaleTable(outcome.document, form.include, deps.clock()), outcome.code);
  }
  c.header("Content-Type", "application/json");
  return c.body(encodeOutcome(outcome), outcome.code);
}

/** A worker that is thrown out watches nothing from that moment on. */
function untilSessionEnds(user: User, deps: ApiDeps) {
  if (!user.groups.includes(NODE_GROUP)) return undefined;
  const nodeId = user.name.slice("system:node:".length);
  return (ended: () => void) => deps.workers.onSessionEnd(nodeId, ended);
}

async function requestBody(
  c: ApiContext,
  verb: Verb,
  schemas: KindSchemas,
): Promise<Pick<K8sRequest, "body" | "duplicates" | "patch">> {
  if (verb === "get" || verb === "list") return {};
  const bytes = await readBody(c, MAX_OBJECT_BYTES);
  if (bytes.length === 0) {
    if (verb === "delete" || verb === "deletecollection") return {};
    throw new StatusError("BadRequest", "the body is empty");
  }
  const type = c.req.header("content-type");
  if (verb === "patch") {
    return {
      patch: decodePatch(bytes, type, schemas, {
        fieldManager: fieldManager(c),
        force: booleanParameter(c, "force"),
      }),
    };
  }
  const format = bodyFormat(type);
  if (format === "protobuf") return { body: decodeProtobufObject(bytes, schemas) };
  const { value: body, duplicates } = decodeBody(bytes, format);
  return { body, duplicates };
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
  PATCH: "patch",
  DELETE: "delete",
};
const SUBRESOURCE: Readonly<Record<string, Verb>> = {
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
};

function verbOf(c: ApiContext, path: ResourcePath): Verb {
  const verbs = path.name === ""
    ? COLLECTION
    : path.subresource === undefined
    ? OBJECT
    : SUBRESOURCE;
  const verb = Object.hasOwn(verbs, c.req.method) ? verbs[c.req.method] : undefined;
  if (verb === undefined) throw notAllowed(Object.keys(verbs));
  return verb;
}
