/** What it means for a client that the kube-apiserver behind did not answer. */
import { StatusError } from "../k8s/status.ts";

/**
 * @param cause what `fetch` rejected with
 * @param method of the request
 * @returns 502 or 503; Retry-After where asking again cannot do a thing twice, because client-go asks
 *   again by itself wherever it stands
 */
export function upstreamError(cause: unknown, method: string): StatusError {
  const { phase, detail } = whatFailed(cause);
  if (/certificate|fatal alert/i.test(detail)) {
    const message = "the kube-apiserver could not prove who it is";
    return new StatusError("InternalError", message, { cause, code: 502 });
  }
  if (phase !== "Connect" && method !== "GET" && method !== "HEAD") {
    const message =
      "the kube-apiserver broke off: what was asked for may have been done all the same";
    return new StatusError("InternalError", message, { cause, code: 502 });
  }
  return new StatusError("ServiceUnavailable", "the kube-apiserver cannot be reached", {
    cause,
    // It asks ten times: kubectl outlives a restart behind, and says soon enough that nobody is there.
    headers: { "Retry-After": "1" },
  });
}

/** The runtime tells it in the cause, after the URL, in which any word may stand. */
function whatFailed(error: unknown): { readonly phase: string; readonly detail: string } {
  for (let at = error; at instanceof Error; at = at.cause) {
    const [, phase = "", detail = ""] = /client error \((\w+)\): (.*)/s.exec(at.message) ?? [];
    if (phase !== "") return { phase, detail };
  }
  return { phase: "", detail: "" };
}
