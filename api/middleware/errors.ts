/** The one place where a thrown error becomes an answer. No stack, no cause ever leaves. */
import type { Logger } from "@logtape/logtape";
import { BackendError } from "../../backends/mod.ts";
import { StoreError } from "../../store/mod.ts";
import type { ApiContext } from "../http.ts";
import { isKubernetesPath } from "../k8s/own_paths.ts";
import { reasonOf, StatusError } from "../k8s/status.ts";
import { ApiProblem, problemDocument, problemHeaders } from "../problem.ts";

/** Answers with a problem document, or on a Kubernetes path with a `Status`. */
export function answerError(log: Logger): (error: Error, c: ApiContext) => Response {
  return (error, c) => {
    const known = asProblem(error);
    const requestId = c.get("requestId");
    if (known instanceof ApiProblem && known.isFault) {
      log.error("{method} {path} failed: {error}", {
        method: c.req.method,
        path: c.req.path,
        error: known.cause ?? known,
        request_id: requestId,
        status: known.status,
      });
    } else {
      log.debug("{method} {path} refused: {code}", {
        method: c.req.method,
        path: c.req.path,
        code: known instanceof StatusError ? known.reason : known.code,
        request_id: requestId,
        status: known.status,
      });
    }
    return isKubernetesPath(c.req.path) || known instanceof StatusError
      ? statusAnswer(c, known)
      : problemAnswer(c, known, requestId);
  };
}

type Known = ApiProblem | (StatusError & { readonly status: number });

function problemAnswer(c: ApiContext, known: Known, requestId: string): Response {
  const problem = known instanceof ApiProblem
    ? known
    : new ApiProblem(known.status, "kubernetes", known.message);
  setHeaders(c, problemHeaders(problem));
  c.header("Content-Type", "application/problem+json");
  return c.newResponse(JSON.stringify(problemDocument(problem, requestId)), problem.status as 400);
}

function statusAnswer(c: ApiContext, known: Known): Response {
  let error: StatusError;
  if (known instanceof ApiProblem) {
    setHeaders(c, problemHeaders(known));
    const { field, retryAfterSeconds } = known;
    error = new StatusError(reasonOf(known.status), known.message, {
      details: {
        ...(field === undefined
          ? {}
          : { causes: [{ reason: known.code, message: known.message, field }] }),
        ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
      },
    });
  } else {
    setHeaders(c, known.headers);
    error = known;
  }
  c.header("Content-Type", "application/json");
  // The code of an ApiProblem may be one that Kubernetes has no reason for (408, 431).
  const body = { ...error.toStatus(), code: known.status };
  return c.newResponse(JSON.stringify(body), known.status as 400);
}

function setHeaders(c: ApiContext, headers: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(headers)) c.header(name, value);
}

function asProblem(error: unknown): Known {
  if (error instanceof ApiProblem) return error;
  if (error instanceof StatusError) return Object.assign(error, { status: error.code });
  if (error instanceof StoreError) {
    if (error.code === "too_large") {
      return new ApiProblem(413, "object_too_large", "the object is larger than the store takes");
    }
    return new ApiProblem(503, "store_unavailable", "the store cannot answer now", {
      retryAfterSeconds: 10,
      cause: error,
      isFault: true,
    });
  }
  if (error instanceof BackendError) {
    const status = error.code === "throttled" ? 429 : 503;
    return new ApiProblem(status, `tee_${error.code}`, "the TEE did not answer as it should", {
      retryAfterSeconds: 5,
      cause: error,
      isFault: status === 503,
    });
  }
  return new ApiProblem(500, "internal", "something failed here that should not have", {
    hint: "the log has it under this request id",
    cause: error,
    isFault: true,
  });
}
