/** Watches over HTTP: one JSON document a line, bookmarks, an end in time. */
import type { Bytes } from "../../backends/mod.ts";
import { type ChunkSource, readableOf, StreamChunk } from "../chunk_stream.ts";
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

/** Events as they are sent, by type and form: an object is told in the same bytes to all. */
type SharedLines = WeakMap<StoredObject, Map<string, StreamChunk>>;

/** Open watches of one app; beyond the limit there is 429. */
export class WatchGate {
  /** What they share. */
  readonly lines: SharedLines = new WeakMap();
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
  const encode = encoder(watch, answer, gate.lines, deps.clock);
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
  let push: ((chunk: StreamChunk) => void) | undefined;
  const ticker = answer.bookmarks
    ? setInterval(() => {
      if (!over) push?.(encode.bookmark());
    }, BOOKMARK_INTERVAL_MS)
    : undefined;
  const events = watch.events[Symbol.asyncIterator]();
  const source: ChunkSource = {
    attach(to) {
      push = to;
    },
    async next() {
      if (over) return undefined;
      try {
        const { done, value } = await events.next();
        if (over) return undefined;
        if (done !== true) return encode.events(value);
        finish();
        return answer.bookmarks ? encode.bookmark() : undefined;
      } catch (error) {
        if (over) return undefined;
        finish();
        return encode.failure(error);
      }
    },
    close: finish,
  };
  const headers = { "Content-Type": "application/json", "Transfer-Encoding": "chunked" };
  const connection = c.env?.connection;
  if (connection?.stream !== undefined) {
    connection.stream(source);
    return c.body(null, 200, headers);
  }
  connection?.disconnected().addEventListener("abort", finish, { once: true });
  return c.body(readableOf(source), 200, headers);
}

const text = new TextEncoder();
const LINE_TAIL = text.encode("}\n");

function encoder(
  watch: K8sWatch,
  answer: WatchAnswer,
  shared: SharedLines,
  clock: () => number,
) {
  const { resource } = watch;
  const line = (type: string, json: Bytes) =>
    new StreamChunk([text.encode(`{"type":"${type}","object":`), json, LINE_TAIL]);
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
  const formKey = form.kind === "table" ? `table ${form.include}` : form.kind;
  const lineOf = ({ type, object: item }: K8sWatchEvent): StreamChunk => {
    let lines = shared.get(item);
    if (lines === undefined) shared.set(item, lines = new Map());
    const key = `${type} ${formKey}`;
    let made = lines.get(key);
    if (made === undefined) lines.set(key, made = line(type, object(item)));
    return made;
  };
  return {
    events(events: readonly K8sWatchEvent[]): StreamChunk {
      const [only] = events;
      if (events.length === 1 && only !== undefined) return lineOf(only);
      return new StreamChunk(events.map((event) => lineOf(event).payload));
    },
    bookmark(): StreamChunk {
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
    failure(error: unknown): StreamChunk {
      const status = error instanceof StatusError
        ? error
        : new StatusError("InternalError", "the watch failed");
      return line("ERROR", document(status.toStatus()));
    },
  };
}
