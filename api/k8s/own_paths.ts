/** Our own endpoints that lie where Kubernetes' paths are. They answer with problem documents. */

export const OWN_API_PATHS = {
  attestation: "/api/v1/attestation",
  securityContext: "/api/v1/security-context",
  registerWorker: "/api/v1/register-worker",
  heartbeat: "/api/v1/nodes/heartbeat",
  suiEvents: "/api/v1/sui-events",
  adminChallenge: "/api/v1/admin/challenge",
  adminLogin: "/api/v1/admin/login",
  adminKey: "/api/v1/admin/key",
  adminRevoke: "/api/v1/admin/revoke",
  adminKeys: "/api/v1/admin/keys",
  adminKeysRotate: "/api/v1/admin/keys/rotate",
  adminKeysReseal: "/api/v1/admin/keys/reseal",
  adminKeysWithdraw: "/api/v1/admin/keys/withdraw",
  adminSigner: "/api/v1/admin/signer",
  adminBackup: "/api/v1/admin/backup",
  etcdClientCertificates: "/api/v1/etcd/client-certificates",
  audit: "/api/v1/audit",
  verify: "/api/v1/verify",
  admissionChallenge: "/api/v1/admission/challenge",
  leave: "/api/v1/nodes/leave",
} as const;

/** A request id after it. */
export const REQUESTS_PREFIX = "/api/v1/requests/";

const OWN: ReadonlySet<string> = new Set(Object.values(OWN_API_PATHS));

/** Whether errors on this path are told as `Status`. */
export function isKubernetesPath(path: string): boolean {
  if (OWN.has(path) || path.startsWith(REQUESTS_PREFIX)) return false;
  return path === "/api" || path === "/apis" || path === "/version" ||
    path.startsWith("/api/") || path.startsWith("/apis/") || path.startsWith("/openapi/");
}
