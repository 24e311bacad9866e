/** Routes gRPC calls to methods, within limits that all calls share. */
import { encodeHeaders } from "../http2/hpack.ts";
import type { RequestHeaders, ResponseStream, StreamListener } from "../http2/stream.ts";
import { Call, type CallPort } from "./call.ts";
import { parseTimeout, statusOnly } from "./framing.ts";
import type { Method } from "./method.ts";
import { CODE, type GrpcError } from "./status.ts";

export interface GrpcServerOptions {
  readonly methods: readonly Method[];
  /** Longer messages are refused with RESOURCE_EXHAUSTED. */
  readonly maxMessageBytes: number;
  /** Half-received messages of all calls together. */
  readonly maxHeldBytes: number;
  /** Turns what a method threw into what the client is told. */
  readonly toGrpcError: (error: unknown) => GrpcError;
}

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
