/** Outcomes as bytes: objects are never parsed on the way out. */
import type { Bytes } from "../../backends/mod.ts";
import type { K8sOutcome, ListOutcome } from "./request.ts";
import { apiVersionOf } from "./resources.ts";

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
    `{"kind":"${resource.kind}List","apiVersion":"${apiVersionOf(resource)}","metadata":${
      JSON.stringify(listMeta(list))
    },"items":[`,
  );
  const items = list.items.map((item) => item.json());
  const commas = Math.max(0, items.length - 1);
  const out = new Uint8Array(
    items.reduce((sum, item) => sum + item.length, head.length + commas + 2),
  );
  out.set(head, 0);
  let offset = head.length;
  items.forEach((item, i) => {
    if (i > 0) out[offset++] = 0x2c;
    out.set(item, offset);
    offset += item.length;
  });
  out.set(encoder.encode("]}"), offset);
  return out;
}
