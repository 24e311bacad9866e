/** `POST /api/v1/verify`: evidence of anybody against one of the operator's policies. */
import type { Hono } from "@hono/hono";
import { answerVerifyRequest } from "../../backends/verify_request.ts";
import type { ApiDeps } from "../deps.ts";
import { type ApiEnv, methodNotAllowed, readBody, requireJson } from "../http.ts";
import { decodeJson } from "../json.ts";
import { OWN_API_PATHS } from "../k8s/own_paths.ts";
import { createAddressLimit } from "../middleware/address_limit.ts";
import { ApiProblem } from "../problem.ts";

/** Evidence with Intel's collateral has some 60 KB in base64; event logs are larger. */
const BODY_BYTES = 1024 * 1024;

export function verifyRoutes(app: Hono<ApiEnv>, deps: ApiDeps): void {
  const limit = createAddressLimit(deps.limits.verifications, deps.clock, "verifications");
  app.post(OWN_API_PATHS.verify, async (c) => {
    limit(c);
    if (deps.verifier === undefined) {
      throw new ApiProblem(
        503,
        "verification_not_configured",
        "no appraisal policy is configured",
        {
          hint: "set NAUTILUS_POLICIES and start the master again",
        },
      );
    }
    requireJson(c);
    const body = decodeJson(await readBody(c, BODY_BYTES));
    const answer = await answerVerifyRequest(body, deps.verifier);
    if (answer.ok) return c.json(answer.result);
    const { field, reason } = answer;
    throw new ApiProblem(400, "invalid_field", `field "${field}": ${reason}`, { field });
  });
  app.all(OWN_API_PATHS.verify, methodNotAllowed("POST"));
}
