/**
 * The embedded Kubernetes resource API over the `k8s` keyspace: one service, used by HTTP requests
 * and by requests from the chain alike. Runs no controllers.
 */
import type { Bytes } from "../../backends/mod.ts";
import type { Compare, Operation, Store } from "../../store/mod.ts";
import type { AccessDecision, AccessRequest, Authorizer, User } from "./authorize.ts";
import { Kinds } from "./crd/kinds.ts";
import { conflict, forbidden, STALE } from "./errors.ts";
import { encodeKey, objectKey } from "./keys.ts";
import { planCreate, planPatch, planUpdate } from "./mutate.ts";
import { nameProblem } from "./names.ts";
import { encodeStored } from "./objects.ts";
import { namespaceResource, type PlanContext } from "./plan.ts";
import { prepareCreate } from "./prepare.ts";
import { isAllowedToNode } from "./node_authorizer.ts";
import { NamespaceGuards } from "./namespace_guards.ts";
import { createNodeObjects, type NodeObjects } from "./node_objects.ts";
import { getObject, listObjects } from "./read.ts";
import { planDelete, planDeleteCollection } from "./remove.ts";
import type { K8sOutcome, K8sRequest, Planned } from "./request.ts";
import { createResourceTable, type ResourceDefinition, type ResourceTable } from "./resources.ts";
import { isAllowedByRoles } from "./rbac.ts";
import { rulesOfUser, type RulesStatus } from "./reviews.ts";
import { isScalable, planScale } from "./scale.ts";
import { KindSchemas } from "./schema.ts";
import { StatusError } from "./status.ts";
import { createSharedObjects, type K8sWatch, openWatch, type WatchOptions } from "./watch.ts";

export interface K8sServiceOptions {
  readonly store: Store;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly random: (length: number) => Bytes;
  readonly authorizer: Authorizer;
  readonly table?: ResourceTable;
}

export interface K8sService {
  /** The kinds that there are: the fixed ones, and those of CustomResourceDefinitions. */
  readonly kinds: Kinds;
  /** What is known of the fields of each kind. */
  readonly schemas: KindSchemas;
  /** Nodes that stand for workers. */
  readonly nodes: NodeObjects;
  /** Grants first, then what is a node's own,  then roles and their bindings. */
  authorize(request: AccessRequest): Promise<AccessDecision>;
  /** What the user may do in a namespace, as far as rules say it. */
  rules(user: User, namespace: string): Promise<RulesStatus>;
  /** Makes the namespaces every cluster has. Does nothing where they are. */
  bootstrap(): Promise<void>;
  /**
   * Authorizes, plans and commits; resolves when the change is durable.
   *
   * @throws {StatusError} every refusal, as the API server words it.
   */
  execute(request: K8sRequest): Promise<K8sOutcome>;
  /**
   * Authorizes and plans, without committing: for a caller that has more to put into the same
   * transaction. A plan whose guards no longer hold is made again.
   *
   * @throws {StatusError} as execute.
   */
  plan(request: K8sRequest): Promise<Planned>;
  /** @throws {StatusError} Forbidden, NotFound, BadRequest, Expired. */
  watch(request: Omit<K8sRequest, "verb">, options: WatchOptions): Promise<K8sWatch>;
  /** @throws {StatusError} NotFound for a kind that is not served. */
  resource(group: string, version: string, plural: string): Promise<ResourceDefinition>;
}

const BOOT_NAMESPACES = ["default", "kube-system", "kube-public", "kube-node-lease"];

/** How often a plan is made again because others were faster; each time somebody got through. */
const MAX_ATTEMPTS = 32;

/** The service over an open store. Keeps no state that is not in it. */
export function createK8sService(options: K8sServiceOptions): K8sService {
  const { store, authorizer } = options;
  const table = options.table ?? createResourceTable();
  const kinds = new Kinds(store, table);
  const schemas = new KindSchemas();
  const namespaces = new NamespaceGuards(store);
  const shared = createSharedObjects();
  const sources = { clock: options.clock, random: options.random };

  async function resource(
    group: string,
    version: string,
    plural: string,
  ): Promise<ResourceDefinition> {
    const found = await kinds.byPlural(group, version, plural);
    if (found !== undefined) return found;
    throw unserved();
  }

  async function authorize(request: AccessRequest): Promise<AccessDecision> {
    const decision = authorizer.authorize(request);
    // What is granted outright needs no role; what is denied for good has no role that helps.
    if (decision.allowed || decision.final === true) return decision;
    const allowed = await isAllowedToNode(store, table, request) ||
      await isAllowedByRoles(store, table, request);
    return allowed ? { allowed } : decision;
  }

  async function authorized(request: AccessRequest & K8sRequest): Promise<PlanContext> {
    const decision = await authorize(request);
    if (!decision.allowed) throw forbidden(request, decision.reason);
    const found = await resource(request.group, request.version, request.plural);
    checkTarget(request, found);
    return {
      store,
      table: await kinds.current(),
      fixed: table,
      sources,
      schemas,
      namespaces,
      resource: found,
      request,
      async require(verb) {
        const also = await authorize({ ...request, verb });
        if (!also.allowed) throw forbidden({ ...request, verb }, also.reason);
      },
    };
  }

  /** A custom object is written only while its definition is what the plan was made by. */
  async function plan(request: K8sRequest): Promise<Planned> {
    const context = await authorized(withAccess(request));
    const planned = await planVerb(context);
    const { custom } = context.resource;
    if (planned.kind === "done" || custom === undefined) return planned;
    const { key, revision } = custom.definition;
    const guard: Compare = {
      keyspace: "k8s",
      key: encodeKey(key),
      target: "mod",
      result: "equal",
      operand: revision,
    };
    return { ...planned, compare: [...planned.compare, guard] };
  }

  function planVerb(context: PlanContext): Promise<Planned> {
    const { request } = context;
    if (request.subresource === "scale") return planScale(context);
    switch (request.verb) {
      case "get":
        return getObject(store, context.resource, request).then((object) => ({
          kind: "done",
          outcome: { kind: "object", code: 200, object },
        }));
      case "list":
        return listObjects(store, context.resource, request.namespace, request.options ?? {}).then(
          (outcome) => ({ kind: "done", outcome }),
        );
      case "create":
        return planCreate(context);
      case "update":
        return planUpdate(context);
      case "patch":
        return planPatch(context);
      case "delete":
        return planDelete(context);
      case "deletecollection":
        return planDeleteCollection(context);
      case "watch":
        throw new StatusError("BadRequest", "watch is not a request with one answer");
    }
  }

  return {
    kinds,
    schemas,
    authorize,
    rules: (user, namespace) => rulesOfUser(store, table, user, namespace),
    nodes: createNodeObjects({ store, table, ...sources }),
    resource,
    plan: (request) => settle(() => plan(request)),
    async bootstrap() {
      const definition = namespaceResource(table);
      for (const name of BOOT_NAMESPACES) {
        const { compare, operations } = bootNamespace(definition, name, sources);
        await store.txn({ compare, success: operations, failure: [] });
      }
    },
    async execute(request) {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const planned = await settle(() => plan(request));
        if (planned.kind === "done") return planned.outcome;
        const response = await store.txn({
          compare: planned.compare,
          success: planned.operations,
          failure: [],
        });
        if (response.succeeded) return planned.outcome(response.revisions.k8s);
      }
      const { group, version, plural, name } = request;
      throw conflict(await resource(group, version, plural), name, STALE);
    },
    watch(request, watchOptions) {
      return settle(async () => {
        const { fieldSelector } = watchOptions;
        const context = await authorized(withAccess({
          ...request,
          verb: "watch",
          options: fieldSelector === undefined ? {} : { fieldSelector },
        }));
        return await openWatch(store, context.resource, request, watchOptions, shared);
      });
    },
  };
}

/** So that what throws at once and what throws later look the same to the caller. */
function settle<T>(action: () => Promise<T>): Promise<T> {
  return Promise.try(action);
}

function resourcePath(request: { plural: string; subresource?: string }): string {
  return request.subresource === undefined
    ? request.plural
    : `${request.plural}/${request.subresource}`;
}

/** What the authorizers look at. */
function withAccess(request: K8sRequest): AccessRequest & K8sRequest {
  const fieldSelector = request.options?.fieldSelector;
  return {
    ...request,
    resource: resourcePath(request),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
  };
}

function unserved(): StatusError {
  return new StatusError("NotFound", "the server could not find the requested resource", {
    details: {}, // client-go looks into them without asking whether they are there
  });
}

/** The path fits the resource: a namespace where there is one, names that can be names. */
function checkTarget(request: K8sRequest, resource: ResourceDefinition): void {
  if (!resource.namespaced && request.namespace !== "") throw unserved();
  if (request.subresource === "status" && !resource.hasStatus) throw unserved();
  if (request.subresource === "scale" && !isScalable(resource)) throw unserved();
  if (request.namespace !== "") {
    const problem = nameProblem(request.namespace, "label");
    if (problem !== undefined) {
      throw new StatusError(
        "BadRequest",
        `namespace "${request.namespace.slice(0, 80)}": ${problem}`,
      );
    }
  }
  const named = ["get", "update", "patch", "delete"].includes(request.verb);
  if (!named) return;
  if (resource.namespaced && request.namespace === "") {
    throw new StatusError("BadRequest", `${resource.kind} is namespaced: a namespace is missing`);
  }
  const problem = nameProblem(request.name, resource.nameRule);
  if (problem !== undefined) {
    throw new StatusError("BadRequest", `name "${request.name.slice(0, 80)}": ${problem}`);
  }
}

function bootNamespace(
  definition: ResourceDefinition,
  name: string,
  sources: Parameters<typeof prepareCreate>[4],
): { compare: Compare[]; operations: Operation[] } {
  const submitted = { apiVersion: "v1", kind: "Namespace", metadata: {} };
  const object = prepareCreate(submitted, definition, "", name, sources);
  const key = encodeKey(objectKey(definition, "", name));
  return {
    compare: [{ keyspace: "k8s", key, target: "create", result: "equal", operand: 0 }],
    operations: [
      { type: "put", keyspace: "k8s", key, value: encodeStored(object, definition) },
    ],
  };
}
