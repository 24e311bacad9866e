/** Watches over HTTP: one JSON document a line, bookmarks, an end in time. */
import type { ApiDeps } from "../deps.ts";
import type { ApiContext } from "../http.ts";
import type { StoredObject } from "../k8s/objects.ts";
import { apiVersionOf } from "../k8s/resources.ts";
import { StatusError } from "../k8s/status.ts";
import { tableOf } from "../k8s/table.ts";
import type { K8sWatch, K8sWatchEvent } from "../k8s/watch.ts";
import { ApiProblem } from "../problem.ts";
import { type AnswerForm, metadataOf } from "./kubernetes_accept.ts";

export interface WatchAnswer {
  readonly bookmarks: boolean;
  readonly timeoutSeconds: number;
  readonly form: AnswerForm;
  /** Calls back when the watcher may not watch any longer; returns how to stop listening. */
  readonly until?: ((ended: () => void) => () => void) | undefined;
}

/** Ends after this long where the client names no time; informers simply watch again. */
export const DEFAULT_WATCH_SECONDS = 30 * 60;
/** How often a bookmark says how far a silent watch has come. */
const BOOKMARK_INTERVAL_MS = 60_000;

/** Open watches of one app; beyond the limit there is 429. */
export class WatchGate {
  #open = 0;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get open(): number {
    return this.#open;
  }

  /** @throws {ApiProblem} 429 */
  enter(): () => void {
    if (this.#open >= this.#most) {
      throw new ApiProblem(
        429,
        "too_many_watches",
        `no more than ${this.#most} watches at a time`,
        {
          retryAfterSeconds: 10,
        },
      );
    }
    this.#open++;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#open--;
    };
  }
}

/** Opens the watch and streams it until the time is over, the client is gone, or history ran out. */
export async function streamWatch(
  c: ApiContext,
  deps: ApiDeps,
  gate: WatchGate,
  open: () => Promise<K8sWatch>,
  answer: WatchAnswer,
): Promise<Response> {
  const leave = gate.enter();
  let watch: K8sWatch;
  try {
    watch = await open();
  } catch (error) {
    leave();
    throw error;
  }
  const encode = encoder(watch, answer, deps.clock);
  let over = false;
  const finish = () => {
    if (over) return;
    over = true;
    clearTimeout(deadline);
    clearInterval(ticker);
    stopListening?.();
    watch.close();
    leave();
  };
  const stopListening = answer.until?.(() => watch.close());
  const deadline = setTimeout(() => watch.close(), answer.timeoutSeconds * 1000);
  let push: ((bytes: Uint8Array<ArrayBuffer>) => void) | undefined;
  const ticker = answer.bookmarks
    ? setInterval(() => push?.(encode.bookmark()), BOOKMARK_INTERVAL_MS)
    : undefined;
  const events = watch.events[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      push = (bytes) => {
        if (!over && (controller.desiredSize ?? 0) > 0) controller.enqueue(bytes);
      };
    },
    async pull(controller) {
      try {
        const { done, value } = await events.next();
        if (over) return;
        if (done === true) {
          if (answer.bookmarks) controller.enqueue(encode.bookmark());
          finish();
          controller.close();
        } else {
          controller.enqueue(encode.events(value));
        }
      } catch (error) {
        if (over) return;
        controller.enqueue(encode.failure(error));
        finish();
        controller.close();
      }
    },
    cancel: finish,
  });
  c.env?.connection?.disconnected().addEventListener("abort", finish, { once: true });
  return c.body(stream, 200, {
    "Content-Type": "application/json",
    "Transfer-Encoding": "chunked",
  });
}

function encoder(watch: K8sWatch, answer: WatchAnswer, clock: () => number) {
  const { resource } = watch;
  const text = new TextEncoder();
  const line = (type: string, json: Uint8Array<ArrayBuffer>) => {
    const head = text.encode(`{"type":"${type}","object":`);
    const out = new Uint8Array(head.length + json.length + 2);
    out.set(head, 0);
    out.set(json, head.length);
    out.set([0x7d, 0x0a], head.length + json.length);
    return out;
  };
  const document = (value: unknown) => text.encode(JSON.stringify(value));
  const { form } = answer;
  const table = (items: readonly StoredObject[], metadata: Record<string, unknown>) =>
    tableOf(resource, items, metadata, form.kind === "table" ? form.include : "None", clock());
  const object = (item: StoredObject) => {
    switch (form.kind) {
      case "object":
        return item.json();
      case "table":
        return document(table([item], { resourceVersion: String(item.revision) }));
      case "metadata":
        return document(metadataOf(item));
    }
  };
  return {
    events(events: readonly K8sWatchEvent[]): Uint8Array<ArrayBuffer> {
      const lines = events.map((event) => line(event.type, object(event.object)));
      const [only] = lines;
      if (lines.length === 1 && only !== undefined) return only;
      const out = new Uint8Array(lines.reduce((sum, part) => sum + part.length, 0));
      let offset = 0;
      for (const part of lines) {
        out.set(part, offset);
        offset += part.length;
      }
      return out;
    },
    bookmark(): Uint8Array<ArrayBuffer> {
      const metadata = { resourceVersion: String(watch.revision()), creationTimestamp: null };
      return line(
        "BOOKMARK",
        document(
          form.kind === "table"
            ? table([], metadata)
            : form.kind === "metadata"
            ? { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata }
            : { kind: resource.kind, apiVersion: apiVersionOf(resource), metadata },
        ),
      );
    },
    failure(error: unknown): Uint8Array<ArrayBuffer> {
      const status = error instanceof StatusError
        ? error
        : new StatusError("InternalError", "the watch failed");
      return line("ERROR", document(status.toStatus()));
    },
  };
}
