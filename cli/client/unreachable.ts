/** Why nobody could be asked, in words of ours: the runtime's name system calls. */

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  ENOTFOUND: "the name is not known",
  EAI_AGAIN: "names cannot be looked up now",
  EHOSTUNREACH: "there is no way to this host",
  ENETUNREACH: "there is no way to this network",
  ETIMEDOUT: "it does not answer",
};

/** The errno of an error or of what caused it; undefined where it has none. */
export function networkCode(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ("code" in at && typeof at.code === "string" && Object.hasOwn(REASONS, at.code)) {
      return at.code;
    }
  }
  return undefined;
}

export function networkReason(error: unknown): string {
  const known = REASONS[networkCode(error) ?? ""];
  return known ?? (error instanceof Error ? error.message : String(error));
}

export function unreachable(origin: string, cause: unknown): Error {
  return new Error(`${origin} cannot be reached: ${networkReason(cause)}`, { cause });
}
