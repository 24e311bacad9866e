/** What form of an answer a Kubernetes client accepts: the object, a Table, or metadata alone. */
import type { ApiContext } from "../http.ts";
import { listMeta } from "../k8s/encode.ts";
import type { StoredObject } from "../k8s/objects.ts";
import type { ListOutcome } from "../k8s/request.ts";
import { StatusError } from "../k8s/status.ts";
import type { IncludeObject } from "../k8s/table.ts";

export type AnswerForm =
  | { readonly kind: "object" }
  | { readonly kind: "table"; readonly include: IncludeObject }
  | { readonly kind: "metadata" };

const PLAIN: AnswerForm = Object.freeze({ kind: "object" });
const META_API = "meta.k8s.io/v1";

/**
 * The first of the accepted forms that there is.
 *
 * @throws {StatusError} NotAcceptable
 */
export function answerForm(c: ApiContext, isList: boolean): AnswerForm {
  const accept = c.req.header("accept") ?? "";
  if (accept.trim() === "") return PLAIN;
  for (const part of accept.split(",")) {
    const [media = "", ...parameters] = part.split(";").map((piece) => piece.trim().toLowerCase());
    if (!["application/json", "application/*", "*/*"].includes(media)) continue;
    const as = parameters.find((parameter) => parameter.startsWith("as="))?.slice(3);
    if (as === undefined) return PLAIN;
    if (!parameters.includes("v=v1") || !parameters.includes("g=meta.k8s.io")) continue;
    if (as === "table") return { kind: "table", include: includeOf(c) };
    if (as === (isList ? "partialobjectmetadatalist" : "partialobjectmetadata")) {
      return { kind: "metadata" };
    }
  }
  throw new StatusError(
    "NotAcceptable",
    "only the following media types are accepted: application/json, application/json;as=Table;v=v1;g=meta.k8s.io, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
  );
}

function includeOf(c: ApiContext): IncludeObject {
  const include = c.req.query("includeObject") ?? "";
  switch (include) {
    case "":
    case "Metadata":
      return "Metadata";
    case "None":
    case "Object":
      return include;
  }
  throw new StatusError(
    "BadRequest",
    `query parameter "includeObject": must be 'Metadata', 'Object', or 'None'`,
  );
}

/** meta/v1 PartialObjectMetadata. */
export function metadataOf(object: StoredObject): Record<string, unknown> {
  const { metadata } = object.parse();
  return { kind: "PartialObjectMetadata", apiVersion: META_API, metadata };
}

/** meta/v1 PartialObjectMetadataList. */
export function metadataListOf(list: ListOutcome): Record<string, unknown> {
  return {
    kind: "PartialObjectMetadataList",
    apiVersion: META_API,
    metadata: listMeta(list),
    items: list.items.map(metadataOf),
  };
}
