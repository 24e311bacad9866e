/**
 * A client that costs little, so that one process can be thousands of workers: HTTP/1.1 over kept
 * connections, one request at a time on each, answers with Content-Length only. For tests on loopback.
 */
import { connect, type Socket } from "node:net";

export interface ClientAnswer {
  readonly status: number;
  readonly body: string;
}

/** One connection from one local address; opened at the first request and again after it closed. */
export class LoadClient {
  readonly #port: number;
  readonly #localAddress: string;
  readonly #keep: boolean;
  #socket: Socket | undefined;
  #received = "";
  #waiting: PromiseWithResolvers<ClientAnswer> | undefined;

  /**
   * @param localAddress of 127.0.0.0/8: whose rates the requests count against
   * @param keep false: a new connection for every request
   */
  constructor(port: number, localAddress: string, keep = true) {
    this.#port = port;
    this.#localAddress = localAddress;
    this.#keep = keep;
  }

  /** @throws {Error} while a request is under way, or where the connection breaks */
  request(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body = "",
  ): Promise<ClientAnswer> {
    if (this.#waiting !== undefined) throw new Error("one request at a time");
    const lines = [`${method} ${path} HTTP/1.1`, "Host: localhost"];
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
    if (body !== "") {
      // Bodies are ASCII here.
      lines.push("Content-Type: application/json", `Content-Length: ${body.length}`);
    }
    if (!this.#keep) lines.push("Connection: close");
    const waiting = Promise.withResolvers<ClientAnswer>();
    this.#waiting = waiting;
    this.#open().write(`${lines.join("\r\n")}\r\n\r\n${body}`, "latin1");
    return waiting.promise;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  #open(): Socket {
    if (this.#socket !== undefined && !this.#socket.destroyed) return this.#socket;
    const socket = connect({
      host: "127.0.0.1",
      port: this.#port,
      localAddress: this.#localAddress,
      noDelay: true,
    });
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => this.#take(socket, chunk));
    const broken = (why: string) => {
      if (this.#socket === socket) this.#fail(new Error(why));
    };
    socket.on("error", (error) => broken(error.message));
    socket.on("close", () => broken("the connection closed before the answer"));
    this.#socket = socket;
    this.#received = "";
    return socket;
  }

  #take(socket: Socket, chunk: string): void {
    if (this.#socket !== socket) return;
    this.#received += chunk;
    const end = this.#received.indexOf("\r\n\r\n");
    if (end < 0) return;
    const head = this.#received.slice(0, end);
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    if (length === undefined) return this.#fail(new Error(`no Content-Length: ${head}`));
    const size = end + 4 + Number(length);
    if (this.#received.length < size) return;
    const body = this.#received.slice(end + 4, size);
    this.#received = this.#received.slice(size);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!this.#keep || /\r\nconnection: *close/i.test(head)) this.close();
    waiting?.resolve({ status: Number(head.slice(9, 12)), body });
  }

  #fail(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    this.close();
    waiting?.reject(error);
  }
}

/** The `i`th address of 127.0.0.0/8, beginning after those that others use. */
export function loopbackAddress(i: number): string {
  const n = i + 256;
  return `127.${(n >> 16) & 0x7f}.${(n >> 8) & 0xff}.${n & 0xff}`;
}
