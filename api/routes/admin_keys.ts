/** `/api/v1/admin/keys…`: the key ring of the running store, and what the admin does to it. */
import type { Hono } from "@hono/hono";
import type { KeyStatus, RotationStatus } from "../../store/mod.ts";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, methodNotAllowed } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { adminCaller, requireAdmin } from "./admin.ts";

export function adminKeyRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const act = async (c: ApiContext, action: string, detail: string): Promise<void> => {
    const { event } = adminCaller(c);
    const told = { actor: "admin", status: null, credential: null };
    await deps.audit.act({ ...event, ...told, action, detail });
  };

  app.get(OWN_API_PATHS.adminKeys, (c) => {
    requireAdmin(c, deps);
    return c.json(keyStatusJson(deps.store.storeId.toHex(), deps.store.keyStatus()));
  });
  app.all(OWN_API_PATHS.adminKeys, methodNotAllowed("GET", "HEAD"));

  app.post(OWN_API_PATHS.adminKeysRotate, async (c) => {
    requireAdmin(c, deps);
    const { rotation } = deps.store.keyStatus();
    const isUnderWay = rotation.phase !== "idle";
    await act(
      c,
      "keys.rotate",
      isUnderWay ? `joins the rotation to data key ${rotation.activeKey}` : "begins a rotation",
    );
    return c.json(rotationJson(await deps.store.rotateKeys()), 202);
  });
  app.all(OWN_API_PATHS.adminKeysRotate, methodNotAllowed("POST"));
}

/** As `nautilus key status --json` prints it, too. Ids, counts and states; no key. */
export function keyStatusJson(
  storeId: string,
  status: KeyStatus,
): Readonly<Record<string, unknown>> {
  return {
    store_id: storeId,
    key_ring_version: status.keyringVersion,
    wraps: status.wraps,
    data_keys: status.deks,
    data_key_limit: status.dataKeyLimit,
    record_key: status.recordKey,
    rotation: rotationJson(status.rotation),
  };
}

function rotationJson(status: RotationStatus) {
  return {
    phase: status.phase,
    active_key: status.activeKey,
    records_done: status.recordsDone,
    records_total: status.recordsTotal,
    bytes_done: status.bytesDone,
    elapsed_ms: status.elapsedMs,
  };
}
