/** `POST /api/v1/admin/backup`: the whole store as a sealed stream, for the admin. */
import type { Hono } from "@hono/hono";
import type { BackupSummary } from "../../store/mod.ts";
import { StoreError } from "../../store/mod.ts";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, bearerToken, methodNotAllowed } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { callerOf } from "../middleware/audit.ts";
import { ApiProblem } from "../problem.ts";
import { requireAdmin } from "./admin.ts";

/** Bytes of the store on its medium: how long a backup will be, about. */
export const STORE_BYTES_HEADER = "X-Nautilus-Store-Bytes";

export function backupRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  let running = false;
  app.post(OWN_API_PATHS.adminBackup, async (c) => {
    requireAdmin(c, deps);
    if (running) {
      throw new ApiProblem(409, "backup_running", "another backup is being taken", {
        hint: "wait for its end; one at a time keeps the master quick",
      });
    }
    if (!deps.store.keyStatus().wraps.some(({ type }) => type === "recovery")) {
      throw new ApiProblem(
        409,
        "no_recovery_key",
        "this store has no recovery key: a backup of it could never be restored",
        { hint: "give the master the operator's public key (--recovery-key) first" },
      );
    }
    running = true;
    try {
      const note = auditOf(c, deps);
      await note("store.backup", null, "");
      const size = (await deps.store.size()).bytes.toString();
      const over = () => running = false;
      const stream = pieces(deps, note, over);
      // A client may be gone before the first piece was asked for, and then nobody asks.
      c.env?.connection?.disconnected().addEventListener("abort", () => {
        over();
        stream.return().catch(() => {}); // told by the note that it was not complete
      }, { once: true });
      return c.body(ReadableStream.from(stream), 200, {
        "Content-Type": "application/octet-stream",
        "Cache-Control": "no-store",
        "Transfer-Encoding": "chunked",
        [STORE_BYTES_HEADER]: size,
      });
    } catch (error) {
      running = false;
      throw error;
    }
  });
  app.all(OWN_API_PATHS.adminBackup, methodNotAllowed("POST"));
}

type Note = (action: string, status: number | null, detail: string) => Promise<void>;

async function* pieces(
  { store, log }: ApiDeps,
  note: Note,
  over: () => void,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  let summary: BackupSummary | undefined;
  try {
    for await (
      const piece of store.backup((end) => summary = end)
    ) yield piece;
  } catch (error) {
    log.error("a backup failed: {error}", { error });
    throw error;
  } finally {
    over();
    const outcome = summary === undefined
      ? "it was not complete"
      : `sequence ${summary.sequence}, etcd revision ${summary.revisions.etcd}, ` +
        `${summary.records} records, ${summary.bytes} bytes`;
    if (summary !== undefined) log.info(`a backup was taken: ${outcome}`);
    await note("outcome", summary === undefined ? 500 : 200, outcome).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error;
      log.error("the end of a backup could not be noted: {error}", { error });
    });
  }
}

function auditOf(c: ApiContext, deps: ApiDeps): Note {
  const token = bearerToken(c);
  const event = {
    ...callerOf(c),
    actor: "admin",
    credential: token === undefined ? null : deps.audit.fingerprint(token),
  };
  return (action, status, detail) => deps.audit.act({ ...event, action, status, detail });
}
