/** Which names a definition gets, beside those that others of its group have already. Pure. */
import type { DefinedNames } from "./definition.ts";

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

/** The first name that is taken, worded as the naming controller does; undefined: all are free. */
export function nameConflict(
  wanted: DefinedNames,
  others: readonly DefinedNames[],
): { readonly reason: string; readonly message: string } | undefined {
  const resources = new Set(
    others.flatMap((names) => [names.plural, names.singular, ...names.shortNames]),
  );
  const kinds = new Set(others.flatMap((names) => [names.kind, names.listKind]));
  const inUse = (reason: string, name: string) => ({
    reason,
    message: `${JSON.stringify(name)} is already in use`,
  });
  if (resources.has(wanted.plural)) return inUse("PluralConflict", wanted.plural);
  if (resources.has(wanted.singular)) return inUse("SingularConflict", wanted.singular);
  for (const name of wanted.shortNames) {
    if (resources.has(name)) return inUse("ShortNamesConflict", name);
  }
  if (kinds.has(wanted.kind)) return inUse("KindConflict", wanted.kind);
  if (kinds.has(wanted.listKind)) return inUse("ListKindConflict", wanted.listKind);
  return undefined;
}

/** Conditions of a definition whose names were just looked at; times stay where nothing changed. */
export function namingConditions(
  conflict: { readonly reason: string; readonly message: string } | undefined,
  before: readonly Condition[],
  now: string,
): Condition[] {
  const wasEstablished = before.some(({ type, status }) =>
    type === "Established" && status === "True"
  );
  const accepted = conflict === undefined
    ? { status: "True", reason: "NoConflicts", message: "no conflicts found" } as const
    : { status: "False", ...conflict } as const;
  // Once established, always: a later conflict is over names that are not served then.
  const established = conflict === undefined || wasEstablished
    ? {
      status: "True",
      reason: "InitialNamesAccepted",
      message: "the initial names have been accepted",
    } as const
    : { status: "False", reason: "NotAccepted", message: "not all names are accepted" } as const;
  const next = [
    { type: "NamesAccepted", ...accepted },
    { type: "Established", ...established },
  ].map((condition): Condition => {
    const old = before.find(({ type }) => type === condition.type);
    const lastTransitionTime = old?.status === condition.status ? old.lastTransitionTime : now;
    return { ...condition, lastTransitionTime };
  });
  const others = before.filter(({ type }) => type !== "NamesAccepted" && type !== "Established");
  return [...next, ...others];
}

/** How many digits of a version count; the rest is compared as text. */
const KUBE_VERSION = /^v([1-9][0-9]{0,8})(?:(alpha|beta)([1-9][0-9]{0,8}))?$/;

/** Newest and most stable first: v10, v2, v1, v11beta2, v1alpha1, then the rest by name. */
export function compareVersions(a: string, b: string): number {
  const left = KUBE_VERSION.exec(a);
  const right = KUBE_VERSION.exec(b);
  if (left === null || right === null) {
    if (left !== null) return -1;
    if (right !== null) return 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }
  const stability = (stage: string | undefined) =>
    stage === undefined ? 2 : stage === "beta" ? 1 : 0;
  return stability(right[2]) - stability(left[2]) ||
    Number(right[1]) - Number(left[1]) || Number(right[3] ?? 0) - Number(left[3] ?? 0);
}
