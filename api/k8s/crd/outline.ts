/** What a stored definition is called and where its objects lie, read without compiling its schemas. */
import type { KubernetesObject } from "../objects.ts";
import { isRecord } from "../plain.ts";
import { decodeNames, type DefinedNames } from "./definition.ts";

export interface DefinitionOutline {
  readonly group: string;
  readonly names: DefinedNames;
  readonly scope: string;
  /** "" where no version is stored. */
  readonly storageVersion: string;
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** Of a definition that was checked when it was written. */
export function outlineOf(object: KubernetesObject): DefinitionOutline {
  const spec = isRecord(object["spec"]) ? object["spec"] : {};
  const versions = Array.isArray(spec["versions"]) ? spec["versions"].filter(isRecord) : [];
  return {
    group: text(spec["group"]),
    names: decodeNames(spec["names"]),
    scope: text(spec["scope"]),
    storageVersion: text(versions.find(({ storage }) => storage === true)?.["name"]),
  };
}
