/** One HTTP/2 stream, seen by the one who answers it. */
import type { ErrorCode } from "./frames.ts";

/** The request's fields that anybody here looks at; the rest is dropped. Missing ones are "". */
export class RequestHeaders {
  method = "";
  path = "";
  scheme = "";
  contentType = "";
  grpcTimeout = "";
  grpcEncoding = "";
  te = "";
  /** Why the field list is malformed (RFC 9113, 8.1.1); undefined where it is well formed. */
  malformed: string | undefined;
  #regular = false;

  /** Takes one field; `:authority` is anything (etcdctl 3.4 puts a socket's path there). */
  add(name: string, value: string): void {
    if (name.charCodeAt(0) === 0x3a) {
      if (this.#regular) this.malformed = "a pseudo-header field after a regular one";
      this.#pseudo(name, value);
      return;
    }
    this.#regular = true;
    switch (name) {
      case "content-type":
        this.contentType = value;
        break;
      case "grpc-timeout":
        this.grpcTimeout = value;
        break;
      case "grpc-encoding":
        this.grpcEncoding = value;
        break;
      case "te":
        this.te = value;
        break;
      case "connection":
      case "transfer-encoding":
      case "upgrade":
      case "":
        this.malformed = `header field "${name}" does not exist in HTTP/2`;
        break;
      default:
        if (/[A-Z]/.test(name)) this.malformed = "a header field name in upper case";
    }
  }

  #pseudo(name: string, value: string): void {
    switch (name) {
      case ":method":
        if (this.method !== "" || value === "") this.malformed = ":method twice or empty";
        this.method = value;
        break;
      case ":path":
        if (this.path !== "" || value === "") this.malformed = ":path twice or empty";
        this.path = value;
        break;
      case ":scheme":
        if (this.scheme !== "" || value === "") this.malformed = ":scheme twice or empty";
        this.scheme = value;
        break;
      case ":authority":
        break;
      default:
        this.malformed = "an unknown pseudo-header field";
    }
  }

  /** To be called after the last field. */
  finish(): void {
    if (this.method === "" || this.path === "" || this.scheme === "") {
      this.malformed ??= "a pseudo-header field is missing";
    }
  }
}

/** Called by the connection, synchronously, never after `onReset`. */
export interface StreamListener {
  /** @param chunk a view that is valid only during the call. */
  onData(chunk: Uint8Array): void;
  /** The client will send no more. */
  onEnd(): void;
  /** The client reset the stream, or the connection is gone. Nothing more can be sent. */
  onReset(): void;
  /** What was queued has gone to the socket: there is room again. */
  onDrain(): void;
}

/** What the answering side may do. Everything after `end` or a reset is silently dropped. */
export interface ResponseStream {
  readonly id: number;
  /** False after `end`, `reset` or the client's reset. */
  readonly open: boolean;
  /** Bytes given to `write` that flow control or a slow socket still hold back. */
  readonly bufferedBytes: number;
  /** @param block an encoded header block */
  headers(block: Uint8Array): void;
  /** Takes over `chunk`. */
  write(chunk: Uint8Array): void;
  /** @param trailers an encoded header block; goes out after everything written. */
  end(trailers: Uint8Array): void;
  /** Headers, one chunk and trailers in one go. */
  respond(headers: Uint8Array, chunk: Uint8Array, trailers: Uint8Array): void;
  /** Headers that are at once the trailers: an answer without a body. */
  headersOnly(block: Uint8Array): void;
  reset(code: ErrorCode): void;
  /** The listener has dealt with that many bytes of request body: the client may send as many again. */
  consumed(bytes: number): void;
}
