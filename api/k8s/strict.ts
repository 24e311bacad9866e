/**
 * What strict decoding says of a body, in the words of the API server: fields that the kind does not
 * have, and fields that stand twice. `fieldValidation` decides whether it refuses, warns or is silent.
 */
import { MAX_DUPLICATES as MAX_PROBLEMS } from "../json.ts";
import type { Duplicates } from "./decode.ts";
import { invalidObject, invalidValue } from "./field_errors.ts";
import { isRecord } from "./plain.ts";
import type { ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";

export type FieldValidation = "Ignore" | "Warn" | "Strict";

/** Names of fields and places in lists, from the root of the object. */
export type FieldPath = readonly (string | number)[];

const MAX_PATH_LENGTH = 1024;

/** `spec.containers[0].image`. */
export function pathText(path: FieldPath): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? step : `.${step}`;
    if (text.length > MAX_PATH_LENGTH) return `${text.slice(0, MAX_PATH_LENGTH)}…`;
  }
  return text;
}

/** A copy without these fields; the document itself where there are none. */
export function without<T>(document: T, paths: readonly FieldPath[]): T {
  if (paths.length === 0) return document;
  const copy = structuredClone(document);
  for (const path of paths) {
    let parent: unknown = copy;
    for (const step of path.slice(0, -1)) {
      if (Array.isArray(parent)) parent = parent[Number(step)];
      else parent = isRecord(parent) ? parent[step] : undefined;
    }
    const last = path.at(-1);
    if (isRecord(parent) && typeof last === "string") delete parent[last];
  }
  return copy;
}

/** One text for each thing that is wrong; duplicates of a YAML document are one text together. */
export function strictProblems(
  unknown: readonly FieldPath[],
  duplicates: Duplicates | undefined,
  isTyped: boolean,
): readonly string[] {
  const names = unknown.slice(0, MAX_PROBLEMS).map(pathText);
  // The API server's decoder does not look into what the type does not have.
  const isUnknown = (path: string) =>
    isTyped &&
    names.some((name) =>
      path === name || path.startsWith(`${name}.`) || path.startsWith(`${name}[`)
    );
  const twice = duplicateProblems(duplicates, isUnknown);
  const problems = new Set([...twice, ...names.map((name) => `unknown field "${name}"`)]);
  return [...problems].slice(0, MAX_PROBLEMS);
}

const YAML_PREFIX = "yaml: unmarshal errors:\n";

export function duplicateProblems(
  duplicates: Duplicates | undefined,
  isUnknown: (path: string) => boolean = () => false,
): readonly string[] {
  if (duplicates === undefined || duplicates.fields.length === 0) return [];
  if (duplicates.format === "yaml") return [yamlProblem(duplicates)];
  return duplicates.fields.filter(({ path }) => !isUnknown(path)).map(({ path }) =>
    `duplicate field "${path}"`
  );
}

/** As the YAML reader of the API server has it, which reads applied configurations in JSON, too. */
export function yamlProblem({ fields }: Duplicates): string {
  const lines = fields.map(({ name, line }) =>
    `  line ${line}: key ${JSON.stringify(name.slice(0, MAX_PATH_LENGTH))} already set in map`
  );
  return YAML_PREFIX + lines.join("\n");
}

/** One warning a problem; each line of a YAML error is one. */
export function warningsOf(problem: string): readonly string[] {
  return problem.startsWith(YAML_PREFIX)
    ? problem.slice(YAML_PREFIX.length).split("\n").map((line) => line.trim())
    : [problem];
}

function strictMessage(problems: readonly string[]): string {
  return `strict decoding error: ${problems.join(", ")}`;
}

/** 400 for a whole object. */
export function strictError(
  resource: Pick<ResourceDefinition, "kind" | "version">,
  problems: readonly string[],
): StatusError {
  return new StatusError("BadRequest", cannotBeHandled(resource, strictMessage(problems)));
}

/** Why a document is not what its path says. */
export function cannotBeHandled(
  { kind, version }: Pick<ResourceDefinition, "kind" | "version">,
  why: string,
): string {
  return `${kind} in version "${version}" cannot be handled as a ${kind}: ${why}`;
}

/** 422 for what a patch makes of an object. */
export function strictPatchError(patched: unknown, problems: readonly string[]): StatusError {
  const error = invalidValue("patch", JSON.stringify(patched), strictMessage(problems));
  return invalidObject(undefined, "", [error]);
}
