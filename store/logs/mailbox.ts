/**
 * Shared memory through which the store hands its appends to the log's worker. The worker sleeps on
 * it (`Atomics.wait`) instead of in its event loop: a message between threads costs 50-100 us, the
 * futex behind this 10-15 us, and there is one append for every commit. What is rare or large goes
 * as a message; ciphertext only, as on the disk.
 *
 * ```
 * control, i32: 0 bell (changes with everything that is sent) · 1 messages sent · 2.. slot is full
 * slot: u32 id, records, removals, head bytes, record bytes, zero · f64 first position
 *       then removals f64 each · lengths u32 each · head · records
 * ```
 */
import type { Bytes } from "../../backends/mod.ts";
import type { LogAppend } from "../log.ts";

const SLOTS = 2;
const SLOT_BYTES = 512 * 1024;
const CONTROL_BYTES = 64;
const BELL = 0;
const MESSAGES = 1;
const FIRST_FULL = 2;
const SLOT_HEADER_BYTES = 32;

/** An append as the worker finds it, in memory of its own. */
export interface MailedAppend {
  readonly id: number;
  readonly append: LogAppend;
}

class Slots {
  readonly control: Int32Array<SharedArrayBuffer>;
  readonly memory: SharedArrayBuffer;
  #next = 0;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
  }

  /** The next slot in turn, if it is in that state: its number and place. */
  inState(full: 0 | 1): { readonly flag: number; readonly at: number } | undefined {
    const flag = FIRST_FULL + this.#next;
    if (Atomics.load(this.control, flag) !== full) return undefined;
    return { flag, at: CONTROL_BYTES + this.#next * SLOT_BYTES };
  }

  advance(flag: number, full: 0 | 1): void {
    Atomics.store(this.control, flag, full);
    this.#next = (this.#next + 1) % SLOTS;
  }
}

/** The store's end. */
export class MailboxSender {
  readonly memory = new SharedArrayBuffer(CONTROL_BYTES + SLOTS * SLOT_BYTES);
  readonly #slots = new Slots(this.memory);

  /** False where the append does not fit or both slots are taken: then it has to go as a message. */
  send(id: number, append: LogAppend): boolean {
    const { lengths, bytes, removals, head, firstPosition } = append;
    const size = SLOT_HEADER_BYTES + removals.byteLength + lengths.byteLength + head.length +
      bytes.length;
    const plain = append.keyring === undefined && append.checkpoint === undefined &&
      append.replacements === undefined;
    if (!plain || size > SLOT_BYTES) return false;
    const slot = this.#slots.inState(0);
    if (slot === undefined) return false;
    let { at } = slot;
    const sizes = [id, lengths.length, removals.length, head.length, bytes.length, 0];
    new Uint32Array(this.memory, at, sizes.length).set(sizes);
    new Float64Array(this.memory, at + 24, 1)[0] = firstPosition;
    at += SLOT_HEADER_BYTES;
    new Float64Array(this.memory, at, removals.length).set(removals);
    at += removals.byteLength;
    new Uint32Array(this.memory, at, lengths.length).set(lengths);
    at += lengths.byteLength;
    new Uint8Array(this.memory, at, head.length).set(head);
    at += head.length;
    new Uint8Array(this.memory, at, bytes.length).set(bytes);
    this.#slots.advance(slot.flag, 1);
    this.#ring();
    return true;
  }

  /** Said after a message was posted: the worker goes back to its event loop for it. */
  announceMessage(): void {
    Atomics.add(this.#slots.control, MESSAGES, 1);
    this.#ring();
  }

  #ring(): void {
    Atomics.add(this.#slots.control, BELL, 1);
    Atomics.notify(this.#slots.control, BELL);
  }
}

/** The worker's end. */
export class MailboxReceiver {
  readonly #slots: Slots;
  #received = 0;

  constructor(memory: SharedArrayBuffer) {
    this.#slots = new Slots(memory);
  }

  /** Said for every message that the event loop delivered. */
  messageReceived(): void {
    this.#received++;
  }

  /** Sleeps until there is an append, and takes it; undefined once a message waits in the event loop. */
  next(): MailedAppend | undefined {
    const { control } = this.#slots;
    for (;;) {
      const bell = Atomics.load(control, BELL);
      const taken = this.#take();
      if (taken !== undefined) return taken;
      if (Atomics.load(control, MESSAGES) !== this.#received) return undefined;
      Atomics.wait(control, BELL, bell);
    }
  }

  #take(): MailedAppend | undefined {
    const slot = this.#slots.inState(1);
    if (slot === undefined) return undefined;
    const { memory } = this.#slots;
    let { at } = slot;
    const [id = 0, records = 0, removed = 0, headBytes = 0, recordBytes = 0] = new Uint32Array(
      memory,
      at,
      5,
    );
    const [firstPosition = 0] = new Float64Array(memory, at + 24, 1);
    at += SLOT_HEADER_BYTES;
    const removals = new Float64Array(new Float64Array(memory, at, removed));
    at += removals.byteLength;
    const lengths = new Uint32Array(new Uint32Array(memory, at, records));
    at += lengths.byteLength;
    const head = own(new Uint8Array(memory, at, headBytes));
    at += headBytes;
    const bytes = own(new Uint8Array(memory, at, recordBytes));
    this.#slots.advance(slot.flag, 0);
    return { id, append: { firstPosition, lengths, bytes, removals, head } };
  }
}

function own(shared: Uint8Array): Bytes {
  const out = new Uint8Array(shared.length);
  out.set(shared);
  return out;
}
