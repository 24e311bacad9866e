/** Outcomes as bytes: objects are never parsed on the way out. */
import type { Bytes } from "../../backends/mod.ts";
import { prefixLength } from "./objects.ts";
import type { K8sOutcome, ListOutcome } from "./request.ts";
import { apiVersionOf, listKindOf } from "./resources.ts";

const encoder = new TextEncoder();

/** The JSON of an outcome. */
export function encodeOutcome(outcome: K8sOutcome): Bytes {
  switch (outcome.kind) {
    case "object":
      return outcome.object.json();
    case "document":
      return encoder.encode(JSON.stringify(outcome.document));
    case "status":
      return encoder.encode(JSON.stringify(outcome.status));
    case "list":
      return encodeList(outcome);
  }
}

/** meta/v1 ListMeta. */
export function listMeta(list: ListOutcome): Record<string, unknown> {
  return {
    resourceVersion: String(list.revision),
    ...(list.continueToken === undefined ? {} : { continue: list.continueToken }),
    ...(list.remaining === undefined ? {} : { remainingItemCount: list.remaining }),
  };
}

function encodeList(list: ListOutcome): Bytes {
  const { resource } = list;
  const head = encoder.encode(
    `{"kind":"${listKindOf(resource)}","apiVersion":"${apiVersionOf(resource)}","metadata":${
      JSON.stringify(listMeta(list))
    },"items":[`,
  );
  const commas = Math.max(0, list.items.length - 1);
  let length = head.length + commas + 2;
  for (const item of list.items) length += item.jsonLength;
  const out = new Uint8Array(length);
  out.set(head, 0);
  let offset = head.length;
  const prefix = prefixLength(resource);
  for (const item of list.items) {
    if (offset > head.length) out[offset++] = 0x2c; // comma
    offset = item.writeJson(out, offset, prefix);
  }
  out.set(encoder.encode("]}"), offset);
  return out;
}
