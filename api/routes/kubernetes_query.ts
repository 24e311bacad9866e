/** Query parameters of Kubernetes requests, each checked; unknown ones are ignored, as there. */
import type { ApiContext } from "../http.ts";
import type { RequestOptions } from "../k8s/request.ts";
import { StatusError } from "../k8s/status.ts";
import type { FieldValidation } from "../k8s/strict.ts";

function invalid(name: string, value: string): StatusError {
  return new StatusError(
    "BadRequest",
    `query parameter "${name}": invalid value "${value.slice(0, 80)}"`,
  );
}

/** The value of a parameter that may stand once. @throws {StatusError} BadRequest */
function single(c: ApiContext, name: string): string | undefined {
  const values = c.req.queries(name) ?? [];
  if (values.length > 1) {
    throw new StatusError("BadRequest", `query parameter "${name}" stands more than once`);
  }
  return values[0];
}

export function booleanParameter(c: ApiContext, name: string): boolean {
  const value = single(c, name);
  switch (value) {
    case undefined:
    case "":
    case "0":
    case "false":
      return false;
    case "1":
    case "true":
      return true;
  }
  throw invalid(name, value);
}

export function integerParameter(c: ApiContext, name: string, most: number): number | undefined {
  const value = single(c, name);
  if (value === undefined || value === "") return undefined;
  if (!/^[0-9]{1,15}$/.test(value)) throw invalid(name, value);
  return Math.min(Number(value), most);
}

/** `dryRun=All` of a write. @throws {StatusError} BadRequest */
export function writeQuery(c: ApiContext): RequestOptions {
  const values = c.req.queries("dryRun") ?? [];
  for (const value of values) {
    if (value !== "All") throw invalid("dryRun", value);
  }
  return {
    dryRun: values.length > 0,
    fieldValidation: fieldValidation(c),
    fieldManager: fieldManager(c) || agentOf(c),
  };
}

/** What becomes of unknown and duplicate fields; without a word of it, the client is warned. */
function fieldValidation(c: ApiContext): FieldValidation {
  const value = single(c, "fieldValidation") ?? "";
  switch (value) {
    case "":
      return "Warn";
    case "Ignore":
    case "Warn":
    case "Strict":
      return value;
  }
  throw invalid("fieldValidation", value);
}

const MAX_MANAGER_LENGTH = 128;

/** `fieldManager` as it was given; "" without one. @throws {StatusError} Invalid */
export function fieldManager(c: ApiContext): string {
  const manager = single(c, "fieldManager") ?? "";
  // deno-lint-ignore no-control-regex
  if (manager.length > MAX_MANAGER_LENGTH || /[\u0000-\u001f\u007f]/.test(manager)) {
    throw new StatusError(
      "Invalid",
      `fieldManager: Invalid value: must be ${MAX_MANAGER_LENGTH} printable characters at most`,
    );
  }
  return manager;
}

/** Who writes where no manager is named: the program, by what it calls itself. */
function agentOf(c: ApiContext): string {
  const [agent = ""] = (c.req.header("user-agent") ?? "").split("/", 1);
  return /^[\x20-\x7e]{1,128}$/.test(agent) ? agent : "unknown";
}

/** What list, watch and deletecollection may say. @throws {StatusError} BadRequest */
export function listQuery(c: ApiContext): RequestOptions {
  const limit = integerParameter(c, "limit", Number.MAX_SAFE_INTEGER);
  const match = single(c, "resourceVersionMatch");
  if (match !== undefined && match !== "" && match !== "Exact" && match !== "NotOlderThan") {
    throw invalid("resourceVersionMatch", match);
  }
  const optional = (key: keyof RequestOptions, name: string) => {
    const value = single(c, name);
    return value === undefined || value === "" ? {} : { [key]: value };
  };
  return {
    ...writeQuery(c),
    ...(limit === undefined ? {} : { limit }),
    ...(match === "Exact" || match === "NotOlderThan" ? { resourceVersionMatch: match } : {}),
    ...optional("labelSelector", "labelSelector"),
    ...optional("fieldSelector", "fieldSelector"),
    ...optional("continueToken", "continue"),
    ...optional("resourceVersion", "resourceVersion"),
  };
}
