/** The operator's half: who is the admin, and the log of what an admin did. */
import type { Logger } from "@logtape/logtape";
import { type Admin, createAdmin } from "../../api/admin/service.ts";
import { type AuditLog, openAuditLog } from "../../api/audit/mod.ts";
import { createTokenCheck } from "../../api/session_tokens.ts";
import type { OpenNode } from "../node/node.ts";
import { systemRandom } from "../random.ts";
import { replaceAdminKey } from "../node/replace_config.ts";

export interface Administration {
  readonly admin: Admin;
  readonly audit: AuditLog;
  /** `true` while the token of an Authorization header is the admin's. Constant time. */
  isAdminToken(token: string): boolean;
  /** A token that never ends, for the kubeconfig: only where nothing is protected anyway. */
  readonly fixedToken: string | undefined;
}

export async function openAdministration(
  node: Pick<OpenNode, "store" | "sealed" | "tee" | "tls" | "setConfigDigest">,
  log: Logger,
): Promise<Administration> {
  const { store, sealed, tee } = node;
  const audit = await openAuditLog(store, await store.secret("audit"), Date.now);
  const secret = await store.secret("admin-token");
  const admin = createAdmin({
    key: sealed.adminKey ?? undefined,
    async replaceKey(key) {
      const { digest } = await replaceAdminKey(store, key);
      node.setConfigDigest(digest);
      log.info("the admin key was changed", { config_digest: digest.toHex() });
    },
    secret,
    audit,
    clock: Date.now,
    random: systemRandom,
    tls: node.tls?.identity,
  });
  const fixedToken = tee.kind === "SIMULATION" ? secret.toHex() : undefined;
  const isFixedToken = fixedToken === undefined ? () => false : createTokenCheck(fixedToken);
  return {
    admin,
    audit,
    isAdminToken: (token) => isFixedToken(token) || admin.verify(token) !== undefined,
    fixedToken,
  };
}
