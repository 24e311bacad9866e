/** Routes gRPC calls to methods: limits, deadlines, cancellation, errors to statuses. */
import type { Bytes } from "../../../backends/mod.ts";

import { encodeHeaders } from "../http2/hpack.ts";
import type { RequestHeaders, ResponseStream, StreamListener } from "../http2/stream.ts";
import type { Message } from "../protobuf/schema.ts";
import { ProtobufError, Writer } from "../protobuf/wire.ts";
import {
  MessageReader,
  OK_TRAILERS,
  parseTimeout,
  RESPONSE_HEADERS,
  statusOnly,
  statusTrailers,
} from "./framing.ts";
import { CODE, GrpcError } from "./status.ts";

/** A call whose answers come one by one. */
export interface ServerCall<Response> {
  /** Queues a message; nothing happens on a call that is over. */
  send(response: Response): void;
  /** The same in the form that the client takes: a whole gRPC message with its prefix, or a value. */
  sendAs(framed: () => Bytes, value: () => Response): void;
  /** Bytes queued that the client did not take yet. */
  readonly bufferedBytes: number;
  /** Aborted when the call is over, whoever ended it. */
  readonly signal: AbortSignal;
  end(): void;
  fail(error: unknown): void;
}

/** What a streaming method does with its call. Called synchronously. */
export interface CallListener<Request> {
  onMessage(request: Request): void;
  /** The client half-closed. */
  onEnd(): void;
  /** The queue has emptied. */
  onDrain(): void;
  /** The call is over; nothing can be sent. Called once, also after `end` and `fail`. */
  onClose(): void;
}

/** A method with its types forgotten: bytes in, calls out. */
export interface Method {
  readonly path: string;
  /** Whether a call may last: it is ended when the server stops. */
  readonly streaming: boolean;
  open(call: RawCall): CallListener<Uint8Array>;
  /** The same method for the JSON gateway; undefined where it is refused anyway. */
  readonly json: JsonMethod | undefined;
}

/** A method whose messages are JSON values. */
export type JsonMethod =
  | {
    readonly kind: "unary";
    /** @throws {ProtobufError} for a bad request, else what the method throws */
    call(request: unknown, requestBytes: number): Promise<unknown>;
  }
  | {
    readonly kind: "stream";
    open(call: ServerCall<unknown>): CallListener<unknown>;
  };

/** The untyped side of a call. */
export interface RawCall {
  readonly stream: ResponseStream;
  readonly signal: AbortSignal;

  respondOnce(message: Bytes): void;
  sendFramed(message: Bytes): void;
  end(): void;
  fail(error: unknown): void;
}

export interface UnaryContext {
  /** Bytes of the request message. */
  readonly requestBytes: number;
}

const frameWriter = (writer: Writer): Bytes => {
  const length = writer.length;
  writer.byte(length & 0xff);
  writer.byte((length >>> 8) & 0xff);
  writer.byte((length >>> 16) & 0xff);
  writer.byte(length >>> 24);
  writer.byte(0);
  return writer.finish();
};

/** Encodes a message with its gRPC prefix. `writer` is used up. */
export function encodeFramed<T>(message: Message<T>, value: T, writer: Writer): Bytes {
  writer.reset();
  message.write(value, writer);
  return frameWriter(writer);
}

/** One request, one answer. */
export function unary<Request, Response>(
  path: string,
  request: Message<Request>,
  response: Message<Response>,
  handle: (request: Request, context: UnaryContext) => Promise<Response> | Response,
): Method {
  const writer = new Writer();
  return {
    path,
    streaming: false,
    json: {
      kind: "unary",
      call: async (json, requestBytes) =>
        response.toJson(await handle(request.fromJson(json), { requestBytes })),
    },
    open(call) {
      let received: Request | undefined;
      let requestBytes = 0;
      const run = async () => {
        if (received === undefined) {
          throw new GrpcError(CODE.internal, "grpc: the request has no message");
        }
        const answer = await handle(received, { requestBytes });
        call.respondOnce(encodeFramed(response, answer, writer));
      };
      return {
        onMessage(bytes) {
          if (received !== undefined) {
            throw new GrpcError(CODE.internal, "grpc: more than one message in a unary request");
          }
          requestBytes = bytes.length;
          received = decodeRequest(request, bytes);
        },
        onEnd: () => void run().catch((error: unknown) => call.fail(error)),
        onDrain: () => {},
        onClose: () => {},
      };
    },
  };
}

/** Messages both ways; also one request with many answers. */
export function streaming<Request, Response>(
  path: string,
  request: Message<Request>,
  response: Message<Response>,
  open: (call: ServerCall<Response>) => CallListener<Request>,
): Method {
  const writer = new Writer();
  return {
    path,
    streaming: true,
    json: {
      kind: "stream",
      open(call) {
        const listener = open({
          send: (value) => call.send(response.toJson(value)),
          sendAs: (_framed, value) => call.send(response.toJson(value())),
          get bufferedBytes() {
            return call.bufferedBytes;
          },
          signal: call.signal,
          end: () => call.end(),
          fail: (error) => call.fail(error),
        });
        return {
          onMessage: (json) => listener.onMessage(request.fromJson(json)),
          onEnd: () => listener.onEnd(),
          onDrain: () => listener.onDrain(),
          onClose: () => listener.onClose(),
        };
      },
    },
    open(call) {
      const listener = open({
        send: (value) => call.sendFramed(encodeFramed(response, value, writer)),
        sendAs: (framed) => call.sendFramed(framed()),
        get bufferedBytes() {
          return call.stream.bufferedBytes;
        },
        signal: call.signal,
        end: () => call.end(),
        fail: (error) => call.fail(error),
      });
      return {
        onMessage: (bytes) => listener.onMessage(decodeRequest(request, bytes)),
        onEnd: () => listener.onEnd(),
        onDrain: () => listener.onDrain(),
        onClose: () => listener.onClose(),
      };
    },
  };
}

function decodeRequest<T>(message: Message<T>, bytes: Uint8Array): T {
  try {
    return message.decode(bytes);
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    if (error.message.includes("is not supported")) {
      throw new GrpcError(CODE.invalidArgument, `etcdserver: ${error.message}`);
    }
    throw new GrpcError(CODE.internal, `grpc: error unmarshalling request: ${error.message}`);
  }
}

export interface GrpcServerOptions {
  readonly methods: readonly Method[];
  /** Longer messages are refused with RESOURCE_EXHAUSTED. */
  readonly maxMessageBytes: number;
  /** Half-received messages of all calls together. */
  readonly maxHeldBytes: number;
  /** Turns what a method threw into what the client is told. */
  readonly toGrpcError: (error: unknown) => GrpcError;
}

/** A stream of requests is not read on while this much waits to be sent to its client. */
const PAUSE_REQUESTS_BYTES = 1_048_576;

export class GrpcServer {
  readonly #methods = new Map<string, Method>();
  readonly #services = new Set<string>();
  readonly #options: GrpcServerOptions;
  readonly #calls = new Set<Call>();
  #heldBytes = 0;

  constructor(options: GrpcServerOptions) {
    this.#options = options;
    for (const method of options.methods) {
      if (this.#methods.has(method.path)) throw new Error(`${method.path} is registered twice`);
      this.#methods.set(method.path, method);
      this.#services.add(method.path.split("/")[1]!);
    }
  }

  get openCalls(): number {
    return this.#calls.size;
  }

  accept(stream: ResponseStream, headers: RequestHeaders): StreamListener | undefined {
    if (headers.method !== "POST") return refuse(stream, 405);
    if (!/^application\/grpc($|[+;])/.test(headers.contentType)) return refuse(stream, 415);
    const method = this.#methods.get(headers.path);
    if (method === undefined) {
      stream.headersOnly(statusOnly(CODE.unimplemented, this.#unknown(headers.path)));
      return undefined;
    }
    if (headers.grpcEncoding !== "" && headers.grpcEncoding !== "identity") {
      const text =
        `grpc: Decompressor is not installed for grpc-encoding "${headers.grpcEncoding}"`;
      stream.headersOnly(statusOnly(CODE.unimplemented, text));
      return undefined;
    }
    try {
      const timeoutMs = parseTimeout(headers.grpcTimeout);
      const call = new Call(this.#port, stream, method, timeoutMs);
      return call.closed ? undefined : call;
    } catch (error) {
      const { code, message } = this.#options.toGrpcError(error);
      stream.headersOnly(statusOnly(code, message));
      return undefined;
    }
  }

  /** Ends the calls that would last, or all of them. */
  endCalls(error: GrpcError, which: "streaming" | "all"): void {
    for (const call of [...this.#calls]) {
      if (which === "all" || call.streaming) call.fail(error);
    }
  }

  #unknown(path: string): string {
    const [, service = "", name = ""] = path.split("/");
    return this.#services.has(service)
      ? `unknown method ${name} for service ${service}`
      : `unknown service ${service}`;
  }

  readonly #port: CallPort = {
    opened: (call) => void this.#calls.add(call),
    closed: (call) => void this.#calls.delete(call),
    hold: (change) => {
      this.#heldBytes += change;
      return this.#heldBytes <= this.#options.maxHeldBytes;
    },
    toGrpcError: (error) => this.#options.toGrpcError(error),
    maxMessageBytes: () => this.#options.maxMessageBytes,
  };
}

function refuse(stream: ResponseStream, status: number): undefined {
  stream.headersOnly(encodeHeaders([[":status", String(status)]]));
  return undefined;
}

interface CallPort {
  opened(call: Call): void;
  closed(call: Call): void;
  /** False where all calls together hold too much. */
  hold(change: number): boolean;
  toGrpcError(error: unknown): GrpcError;
  maxMessageBytes(): number;
}

class Call implements StreamListener, RawCall {
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
