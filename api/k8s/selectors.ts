/** Label and field selectors of list and watch, in Kubernetes' own syntax. Pure. */
import { isLabelValue, isQualifiedName } from "./names.ts";
import type { KubernetesObject } from "./objects.ts";
import type { ResourceDefinition } from "./resources.ts";
import { StatusError } from "./status.ts";

export type Predicate = (object: KubernetesObject) => boolean;

type LabelPredicate = (labels: Readonly<Record<string, string>>) => boolean;

const MAX_SELECTOR_LENGTH = 8 * 1024;

function bad(kind: string, text: string, why: string): StatusError {
  return new StatusError("BadRequest", `unable to parse ${kind} selector "${text}": ${why}`);
}

/**
 * `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, joined by commas.
 *
 * @throws {StatusError} BadRequest
 */
export function parseLabelSelector(text: string): Predicate | undefined {
  if (text.trim() === "") return undefined;
  if (text.length > MAX_SELECTOR_LENGTH) throw bad("label", text.slice(0, 40), "too long");
  const predicates = splitRequirements(text).map((part) => labelRequirement(part, text));
  return (object) => {
    const labels = object.metadata.labels ?? {};
    return predicates.every((predicate) => predicate(labels));
  };
}

/** Splits at commas outside parentheses. */
function splitRequirements(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === "(") depth++;
    else if (char === ")") depth--;
    else if (char === "," && depth === 0) {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts.map((part) => part.trim());
}

function labelRequirement(part: string, text: string): LabelPredicate {
  const set = /^(\S+)\s+(in|notin)\s*\(([^()]*)\)$/.exec(part);
  if (set !== null) {
    const [, key = "", operator, list = ""] = set;
    const values = new Set(list.split(",").map((value) => value.trim()));
    checkKey(key, text);
    for (const value of values) checkValue(value, text);
    return operator === "in"
      ? (labels) => labelOf(labels, key) !== undefined && values.has(labelOf(labels, key) ?? "")
      : (labels) => labelOf(labels, key) === undefined || !values.has(labelOf(labels, key) ?? "");
  }
  const equality = /^([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)$/.exec(part);
  if (equality !== null) {
    const [, key = "", operator, value = ""] = equality;
    checkKey(key, text);
    checkValue(value, text);
    return operator === "!="
      ? (labels) => labelOf(labels, key) !== value
      : (labels) => labelOf(labels, key) === value;
  }
  const exists = /^(!?)\s*([^=!\s()]+)$/.exec(part);
  if (exists !== null) {
    const [, not, key = ""] = exists;
    checkKey(key, text);
    return not === "!"
      ? (labels) => labelOf(labels, key) === undefined
      : (labels) => labelOf(labels, key) !== undefined;
  }
  throw bad("label", text, `"${part}" is no requirement`);
}

function labelOf(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function checkKey(key: string, text: string): void {
  if (!isQualifiedName(key)) throw bad("label", text, `"${key}" is not a qualified name`);
}

function checkValue(value: string, text: string): void {
  if (!isLabelValue(value)) throw bad("label", text, `"${value}" is not a label value`);
}

/** Fields that may be selected on, beside name and namespace, by kind. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  Pod: ["spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase"],
  Namespace: ["status.phase"],
  Secret: ["type"],
  Node: ["spec.unschedulable"],
  Event: [
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "reason",
    "type",
  ],
};

/**
 * `metadata.name=x,metadata.namespace!=y` and a few fields by kind.
 *
 * @throws {StatusError} BadRequest naming the field that is not supported.
 */
export function parseFieldSelector(
  text: string,
  resource: Pick<ResourceDefinition, "kind" | "custom">,
): Predicate | undefined {
  if (text.trim() === "") return undefined;
  if (text.length > MAX_SELECTOR_LENGTH) throw bad("field", text.slice(0, 40), "too long");
  const { kind, custom } = resource;
  const supported = custom === undefined ? FIELDS[kind] ?? [] : custom.selectableFields;
  const predicates = text.split(",").map((part): Predicate => {
    const match = /^([A-Za-z0-9_.-]+?)\s*(==|=|!=)(.*)$/.exec(part.trim());
    if (match === null) throw bad("field", text, `"${part}" is no requirement`);
    const [, path = "", operator, value = ""] = match;
    if (
      path !== "metadata.name" && path !== "metadata.namespace" &&
      !supported.includes(path)
    ) {
      throw new StatusError("BadRequest", `field label not supported: ${path}`);
    }
    const segments = path.split(".");
    return (object) => (fieldText(object, segments) === value) === (operator !== "!=");
  });
  return (object) => predicates.every((predicate) => predicate(object));
}

function fieldText(object: KubernetesObject, segments: readonly string[]): string {
  let value: unknown = object;
  for (const segment of segments) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, segment)) return "";
    value = (value as Record<string, unknown>)[segment];
  }
  return typeof value === "string"
    ? value
    : typeof value === "boolean" || typeof value === "number"
    ? String(value)
    : "";
}

/** The one name that a field selector pins, if it does: saves looking at everything else. */
export function pinnedName(fieldSelector: string): string | undefined {
  const match = /^metadata\.name={1,2}([^,!=]+)$/.exec(fieldSelector.trim());
  return match?.[1];
}
