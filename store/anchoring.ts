/** When the anchors are advanced, and the commit that names a counter's next value before it is set. */
import type { Commits } from "./commits.ts";
import type { Freshness } from "./freshness.ts";
import type { Head } from "./head.ts";
import type { Writer } from "./writer.ts";

export class Anchoring {
  readonly #freshness: Freshness;
  readonly #writer: Writer;
  readonly #commits: Commits;

  constructor(freshness: Freshness, writer: Writer, commits: Commits) {
    this.#freshness = freshness;
    this.#writer = writer;
    this.#commits = commits;
  }

  /** At the opening: `begin` appends what begins it. @throws {StoreError} `anchor_conflict` */
  async first(begin: () => Promise<void>): Promise<void> {
    this.#name();
    await begin();
    await this.#freshness.advance(this.#writer.head);
  }

  /** After every append. */
  step(head: Head): void {
    if (this.#freshness.due(head)) this.#advance().catch((error) => this.#writer.fail(error));
  }

  /** Before closing, so that what was written last is covered. */
  async last(): Promise<void> {
    if (!this.#freshness.active || this.#writer.failure !== undefined) return;
    try {
      await this.#advance();
    } catch (error) {
      // Told by the next opening, which finds the anchor advanced by somebody else.
      this.#writer.fail(error);
    }
  }

  /** A counter's next value must stand in a durable head first. */
  async #advance(): Promise<void> {
    if (this.#freshness.nextCounter() !== this.#writer.head.anchorCounter) {
      this.#name();
      await new Promise<void>((publish, reject) => {
        this.#writer.submit({
          prepare: (place) => ({ commit: this.#commits.of(place, { publish, reject }) }),
          reject,
        });
      });
    }
    await this.#freshness.advance(this.#writer.head);
  }

  #name(): void {
    this.#writer.anchor = { counter: this.#freshness.nextCounter(), by: this.#freshness.by };
  }
}
