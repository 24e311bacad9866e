/** What the rest of the API sees of the audit log. */
export { type AuditLog, type AuditPage, openAuditLog } from "./log.ts";
export {
  AUDIT_CHAINS,
  type AuditChain,
  type AuditEvent,
  AuditRecord,
  type ChainVerdict,
  verifyAuditChain,
} from "./record.ts";
