/** `POST /api/v1/etcd/client-certificates`: the admin lets a client of the etcd listener in. */
import * as v from "valibot";
import type { Hono } from "@hono/hono";
import type { AuditLog } from "../audit/mod.ts";
import { type ApiEnv, bearerToken, methodNotAllowed, readBody, requireJson } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { callerOf } from "../middleware/audit.ts";
import { ApiProblem } from "../problem.ts";
import { decodeBody } from "../schemas.ts";
import { ClientRequestError, type EtcdAuthority } from "./authority.ts";

export const CLIENT_CERTIFICATES_PATH = OWN_API_PATHS.etcdClientCertificates;

const base64 = v.pipe(
  v.string(),
  v.maxLength(1024),
  v.regex(/^[A-Za-z0-9+/]*={0,2}$/, "must be base64"),
);

export const ClientCertificateBody = v.strictObject({
  name: v.pipe(v.string(), v.maxLength(64)),
  /** DER SubjectPublicKeyInfo. */
  public_key: base64,
  /** DER ECDSA signature; see authority.ts. */
  proof: base64,
});

export interface CertificateRouteDeps {
  readonly authority: EtcdAuthority;
  readonly isAdminToken: (token: string) => boolean;
  readonly audit: Pick<AuditLog, "act" | "fingerprint">;
}

const MAX_BODY_BYTES = 4096;

export function etcdCertificateRoutes(app: Hono<ApiEnv>, deps: CertificateRouteDeps): void {
  app.post(CLIENT_CERTIFICATES_PATH, async (c) => {
    const token = bearerToken(c);
    if (token === undefined || !deps.isAdminToken(token)) {
      throw new ApiProblem(401, "unauthorized", "the admin's credential is wanted", {
        headers: { "WWW-Authenticate": 'Bearer realm="nautilus"' },
      });
    }
    requireJson(c);
    const body = decodeBody(ClientCertificateBody, await readBody(c, MAX_BODY_BYTES));
    const { authority } = deps;
    let certificate: string;
    try {
      certificate = authority.issueClient({
        name: body.name,
        spki: decode("public_key", body.public_key),
        proof: decode("proof", body.proof),
      });
    } catch (error) {
      if (!(error instanceof ClientRequestError)) throw error;
      const detail = `${error.field}: ${error.message}`;
      throw new ApiProblem(400, "invalid_request", detail, { field: error.field, cause: error });
    }
    // Whoever holds it reads and writes the whole cluster: noted before it leaves.
    await deps.audit.act({
      ...callerOf(c),
      action: "etcd.client-certificate",
      actor: "admin",
      credential: deps.audit.fingerprint(token),
      status: 201,
      detail: body.name,
    });
    return c.json({ certificate, ca: authority.caPem }, 201);
  });
  app.all(CLIENT_CERTIFICATES_PATH, methodNotAllowed("POST"));
}

function decode(field: ClientRequestError["field"], text: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.fromBase64(text);
  } catch (cause) {
    throw new ClientRequestError(field, "is not base64", { cause });
  }
}
