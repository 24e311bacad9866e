/** `/api/v1/admin/keys…`: the key ring of the running store, and what the admin does to it. */
import type { Hono } from "@hono/hono";
import { BackendError, type Bytes } from "../../backends/mod.ts";
import { type KeyStatus, type RotationStatus, StoreError } from "../../store/mod.ts";
import { AdminResealRequest } from "../admin_schemas.ts";
import type { ApiDeps } from "../deps.ts";
import { type ApiContext, type ApiEnv, methodNotAllowed, readBody, requireJson } from "../http.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { ApiProblem } from "../problem.ts";
import { decodeBody } from "../schemas.ts";
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

  app.post(OWN_API_PATHS.adminKeysReseal, async (c) => {
    requireAdmin(c, deps);
    requireJson(c);
    const body = await readBody(c, deps.limits.bodyBytes);
    const { measurement } = decodeBody(AdminResealRequest, body);
    await act(c, "keys.reseal", `authorises successor ${measurement}`);
    await authorize(deps, Uint8Array.fromHex(measurement));
    return c.json(keyStatusJson(deps.store.storeId.toHex(), deps.store.keyStatus()));
  });
  app.all(OWN_API_PATHS.adminKeysReseal, methodNotAllowed("POST"));

  app.post(OWN_API_PATHS.adminKeysWithdraw, async (c) => {
    requireAdmin(c, deps);
    await act(c, "keys.withdraw", "withdraws the successor's authorisation");
    if (!await deps.store.withdrawSuccessor()) {
      throw new ApiProblem(409, "no_successor", "no successor is authorised");
    }
    return c.json(keyStatusJson(deps.store.storeId.toHex(), deps.store.keyStatus()));
  });
  app.all(OWN_API_PATHS.adminKeysWithdraw, methodNotAllowed("POST"));
}

/** Refusals of a successor that say something to whoever asked. */
async function authorize(deps: ApiDeps, measurement: Bytes): Promise<void> {
  const refused = (status: 400 | 409, code: string, error: StoreError | BackendError) =>
    new ApiProblem(status, code, error.message, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  if (measurement.toHex() === deps.tee.measurement.toHex()) {
    throw new ApiProblem(409, "own_measurement", "this is the running program's own measurement", {
      field: "measurement",
    });
  }
  try {
    await deps.store.authorizeSuccessor(measurement);
  } catch (error) {
    if (error instanceof StoreError && error.code === "successor_unsupported") {
      throw refused(409, error.code, error);
    }
    if (error instanceof BackendError && error.code === "malformed") {
      throw refused(400, "invalid_field", error);
    }
    throw error;
  }
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
