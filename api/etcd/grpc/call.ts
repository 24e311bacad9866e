/** One call on one HTTP/2 stream: its messages, deadline and end. */
import type { Bytes } from "../../../backends/mod.ts";
import type { ResponseStream, StreamListener } from "../http2/stream.ts";
import {
  MessageReader,
  OK_TRAILERS,
  RESPONSE_HEADERS,
  statusOnly,
  statusTrailers,
} from "./framing.ts";
import type { CallListener, Method, RawCall } from "./method.ts";
import { CODE, GrpcError } from "./status.ts";

/** A stream of requests is not read on while this much waits to be sent to its client. */
const PAUSE_REQUESTS_BYTES = 1_048_576;

/** What a call needs of its server. */
export interface CallPort {
  opened(call: Call): void;
  closed(call: Call): void;
  /** False where all calls together hold too much. */
  hold(change: number): boolean;
  toGrpcError(error: unknown): GrpcError;
  maxMessageBytes(): number;
}

export class Call implements StreamListener, RawCall {
  readonly stream: ResponseStream;
  readonly streaming: boolean;
  readonly #port: CallPort;
  readonly #reader: MessageReader;
  readonly #listener: CallListener<Uint8Array> | undefined;
  #abort: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #held = 0;
  #owed = 0;
  #headersSent = false;
  closed = false;

  constructor(
    port: CallPort,
    stream: ResponseStream,
    method: Method,
    timeoutMs: number | undefined,
  ) {
    this.#port = port;
    this.stream = stream;
    this.streaming = method.streaming;
    this.#reader = new MessageReader(
      port.maxMessageBytes(),
      (message) => this.#listener?.onMessage(message),
    );
    this.#listener = method.open(this);
    if (this.closed) return;
    port.opened(this);
    if (timeoutMs !== undefined) {
      // Timers hold 31 bits; a longer deadline than 24 days is none.
      const delay = Math.min(timeoutMs, 0x7fff_ffff);
      this.#timer = setTimeout(
        () => this.fail(new GrpcError(CODE.deadlineExceeded, "context deadline exceeded")),
        delay,
      );
    }
  }

  /** Made only when somebody asks: most calls are over before anybody could. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.closed) this.#abort.abort();
    return this.#abort.signal;
  }

  onData(chunk: Uint8Array): void {
    if (this.closed) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (this.closed) return;
    const held = this.#reader.heldBytes;
    if (held !== this.#held) {
      const fits = this.#port.hold(held - this.#held);
      this.#held = held;
      if (!fits && held > 0) {
        this.fail(
          new GrpcError(CODE.resourceExhausted, "grpc: too many unfinished requests at once"),
        );
        return;
      }
    }
    if (this.stream.bufferedBytes > PAUSE_REQUESTS_BYTES) this.#owed += chunk.length;
    else this.stream.consumed(chunk.length);
  }

  onEnd(): void {
    if (this.closed) return;
    if (this.#reader.midway) {
      this.fail(new GrpcError(CODE.internal, "grpc: the request ends within a message"));
      return;
    }
    try {
      this.#listener?.onEnd();
    } catch (error) {
      this.fail(error);
    }
  }

  onReset(): void {
    this.#close();
  }

  onDrain(): void {
    if (this.closed) return;
    if (this.#owed > 0) {
      this.stream.consumed(this.#owed);
      this.#owed = 0;
    }
    this.#listener?.onDrain();
  }

  respondOnce(message: Bytes): void {
    if (this.closed) return;
    this.stream.respond(RESPONSE_HEADERS, message, OK_TRAILERS);
    this.#close();
  }

  sendFramed(message: Bytes): void {
    if (this.closed) return;
    if (!this.#headersSent) {
      this.#headersSent = true;
      this.stream.headers(RESPONSE_HEADERS);
    }
    this.stream.write(message);
  }

  end(): void {
    if (this.closed) return;
    if (!this.#headersSent) this.stream.headers(RESPONSE_HEADERS);
    this.stream.end(OK_TRAILERS);
    this.#close();
  }

  fail(error: unknown): void {
    if (this.closed) return;
    const { code, message } = this.#port.toGrpcError(error);
    if (this.#headersSent) this.stream.end(statusTrailers(code, message));
    else this.stream.headersOnly(statusOnly(code, message));
    this.#close();
  }

  #close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.#timer);
    if (this.#held !== 0) this.#port.hold(-this.#held);
    this.#held = 0;
    this.#port.closed(this);
    this.#abort?.abort();
    this.#listener?.onClose();
  }
}
