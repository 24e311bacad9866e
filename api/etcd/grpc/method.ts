/** What a method is: typed for its service, bytes for the connection, JSON for the gateway. */
import type { Bytes } from "../../../backends/mod.ts";
import type { ResponseStream } from "../http2/stream.ts";
import type { Message } from "../protobuf/schema.ts";
import { ProtobufError, Writer } from "../protobuf/wire.ts";
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
