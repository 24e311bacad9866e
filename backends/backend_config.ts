/** What `BackendFactory.open` is given, decoded in one place for every backend. */
import * as v from "valibot";
import { BackendError } from "./errors.ts";
import type { TeeType } from "./mod.ts";

/** @throws {BackendError} `config_invalid`, naming the field */
export function decodeBackendConfig<const S extends v.GenericSchema>(
  kind: TeeType,
  schema: S,
  config: unknown,
): v.InferOutput<S> {
  const result = v.safeParse(schema, config);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const name = kind === "SIMULATION" ? "simulation" : kind;
  throw new BackendError(
    "config_invalid",
    `${name} configuration, ${v.getDotPath(issue) ?? "as a whole"}: ${issue.message}`,
    { kind },
  );
}
