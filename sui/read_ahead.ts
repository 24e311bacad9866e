/** Pages of events, the next one asked for before it is wanted. */
import { follow } from "./abort.ts";
import type { EventCursor, EventPage, EventStart } from "./ledger.ts";

type Position = EventCursor | EventStart | undefined;

export class ReadAhead implements AsyncDisposable {
  readonly #read: (after: Position, abort: AbortSignal) => Promise<EventPage>;
  #next:
    | {
      readonly after: EventCursor;
      readonly abort: AbortController;
      readonly page: Promise<EventPage>;
    }
    | undefined;

  constructor(read: (after: Position, abort: AbortSignal) => Promise<EventPage>) {
    this.#read = read;
  }

  /** Begins to read what follows `after`. Failures show when the page is asked for. */
  expect(after: EventCursor): void {
    const abort = new AbortController();
    const page = this.#read(after, abort.signal);
    page.catch(() => {});
    this.#next = { after, abort, page };
  }

  /** The page after a position: the one that is on its way, where it is that. */
  async page(after: Position, signal: AbortSignal): Promise<EventPage> {
    const next = this.#next;
    if (next === undefined || next.after !== after) return await this.#read(after, signal);
    const unlink = follow(signal, next.abort);
    try {
      return await next.page;
    } finally {
      unlink();
      this.#next = undefined;
    }
  }

  /** Lets go of what is on its way, and waits until it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#next?.abort.abort();
    await this.#next?.page.catch(() => {});
  }
}
