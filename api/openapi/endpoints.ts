/** Our own endpoints as OpenAPI describes them. A test holds this list against the routes. */
import type * as v from "valibot";
import {
  AdminKeyRequest,
  AdminLoginRequest,
  AdminResealRequest,
  AdminRevokeRequest,
} from "../admin_schemas.ts";
import { ClientCertificateBody } from "../etcd/certificate_routes.ts";
import { OWN_API_PATHS, REQUESTS_PREFIX } from "../k8s/own_paths.ts";
import {
  AdmissionChallengeRequest,
  HeartbeatRequest,
  LeaveRequest,
  RegisterWorkerRequest,
  SuiEventsRequest,
} from "../schemas.ts";

/** `seal`: a session token in X-Seal-Token; `admin`: the admin's bearer token. */
export type Auth = "none" | "seal" | "admin";

export interface Endpoint {
  readonly method: "get" | "post";
  readonly path: string;
  readonly summary: string;
  readonly auth: Auth;
  /** What decodes the body. */
  readonly body?: v.GenericSchema;
  /** A body that is checked elsewhere: any object. */
  readonly looseBody?: true;
  readonly query?: readonly { readonly name: string; readonly schema: Record<string, unknown> }[];
  /** Content type of the good answer; JSON unless said. */
  readonly produces?: string;
  readonly success: readonly number[];
  readonly refusals: readonly number[];
}

const hexNonce = { type: "string", pattern: "^([0-9a-fA-F]{2}){8,64}$" };
const body = [400, 413, 415] as const;

export const ENDPOINTS: readonly Endpoint[] = [
  get("/", "The status page.", { produces: "text/html" }),
  get("/status/events", "What the status page shows, as it changes.", {
    produces: "text/event-stream",
    refusals: [429],
  }),
  get("/openapi.json", "This document."),
  get("/health", "How the master is.", { success: [200, 503] }),
  get("/livez", "Whether the process lives.", { produces: "text/plain" }),
  get("/livez/{check}", "One check of it.", { produces: "text/plain", refusals: [404] }),
  get("/readyz", "Whether requests may come.", { produces: "text/plain", success: [200, 503] }),
  get("/readyz/{check}", "One check of it.", {
    produces: "text/plain",
    success: [200, 503],
    refusals: [404],
  }),
  get("/version", "The version, as Kubernetes clients read it."),
  get("/metrics", "Figures for Prometheus.", { produces: "text/plain" }),
  get(OWN_API_PATHS.attestation, "Evidence of this node.", {
    query: [{ name: "nonce", schema: hexNonce }],
    refusals: [400, 429, 503],
  }),
  get(OWN_API_PATHS.securityContext, "What the hardware makes true."),
  post(OWN_API_PATHS.admissionChallenge, "The first half of a worker's proof.", {
    body: AdmissionChallengeRequest,
    refusals: [...body, 401, 403, 429, 502, 503],
  }),
  post(OWN_API_PATHS.registerWorker, "Admits a worker by its Seal token.", {
    body: RegisterWorkerRequest,
    refusals: [...body, 401, 403, 409, 429, 502, 503],
  }),
  post(OWN_API_PATHS.heartbeat, "A worker lives.", {
    auth: "seal",
    body: HeartbeatRequest,
    refusals: [...body, 401, 403, 409, 429, 503],
  }),
  post(OWN_API_PATHS.leave, "A worker goes.", {
    auth: "seal",
    body: LeaveRequest,
    refusals: [...body, 401, 403, 409, 429, 503],
  }),
  post(OWN_API_PATHS.suiEvents, "Something happened on the chain.", {
    body: SuiEventsRequest,
    success: [202],
    refusals: [...body, 429],
  }),
  post(OWN_API_PATHS.verify, "Appraises anybody's evidence under a sealed policy.", {
    looseBody: true,
    refusals: [...body, 429, 503],
  }),
  get(`${REQUESTS_PREFIX}{id}`, "What became of a request on the chain.", {
    auth: "admin",
    refusals: [400, 401, 404, 429],
  }),
  post(OWN_API_PATHS.adminChallenge, "A challenge for the admin's key.", { refusals: [429, 503] }),
  post(OWN_API_PATHS.adminLogin, "A token for a signed challenge.", {
    body: AdminLoginRequest,
    refusals: [...body, 401, 429, 503],
  }),
  post(OWN_API_PATHS.adminKey, "Makes another key the admin's.", {
    auth: "admin",
    body: AdminKeyRequest,
    refusals: [...body, 401, 403, 409, 429, 503],
  }),
  post(OWN_API_PATHS.adminRevoke, "Ends tokens of the admin.", {
    auth: "admin",
    body: AdminRevokeRequest,
    refusals: [...body, 401, 403, 429, 503],
  }),
  post(OWN_API_PATHS.adminBackup, "The whole store, sealed to its recovery keys.", {
    auth: "admin",
    produces: "application/octet-stream",
    refusals: [401, 403, 409, 429, 503],
  }),
  post(OWN_API_PATHS.etcdClientCertificates, "Lets a client into the etcd listener.", {
    auth: "admin",
    body: ClientCertificateBody,
    success: [201],
    refusals: [...body, 401, 429, 503],
  }),
  get(OWN_API_PATHS.adminKeys, "The key ring: ids, counts and states.", {
    auth: "admin",
    refusals: [401, 403, 429],
  }),
  get(OWN_API_PATHS.adminSigner, "Who writes results on chain, what it holds and what it lacks.", {
    auth: "admin",
    refusals: [401, 403, 429],
  }),
  post(OWN_API_PATHS.adminKeysRotate, "A new data key; older records are sealed anew under it.", {
    auth: "admin",
    success: [202],
    refusals: [401, 403, 429, 503],
  }),
  post(OWN_API_PATHS.adminKeysReseal, "Authorises one other program to open the store next.", {
    auth: "admin",
    body: AdminResealRequest,
    refusals: [...body, 401, 403, 409, 429, 503],
  }),
  post(OWN_API_PATHS.adminKeysWithdraw, "Withdraws the successor's authorisation.", {
    auth: "admin",
    refusals: [401, 403, 409, 429, 503],
  }),
  get(OWN_API_PATHS.audit, "What was done, and who was refused.", {
    auth: "admin",
    query: [
      { name: "chain", schema: { type: "string", enum: ["acts", "refusals"] } },
      { name: "after", schema: { type: "integer", minimum: 0 } },
      { name: "limit", schema: { type: "integer", minimum: 1, maximum: 1_000 } },
    ],
    refusals: [400, 401, 403, 429],
  }),
];

type More = Partial<Omit<Endpoint, "method" | "path" | "summary">>;

function get(path: string, summary: string, more: More = {}): Endpoint {
  return { method: "get", path, summary, auth: "none", success: [200], refusals: [], ...more };
}

function post(path: string, summary: string, more: More = {}): Endpoint {
  return { method: "post", path, summary, auth: "none", success: [200], refusals: [], ...more };
}
