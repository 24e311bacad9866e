/** Connections that never finish their TLS handshake, whatever they send of it, end at a deadline. */
import type { Socket } from "node:net";
import type { Server } from "node:tls";

/**
 * node:tls has `handshakeTimeout` for it, and this runtime does not heed it: a connection that says
 * nothing would stay for as long as its client likes, and keep the place of another.
 *
 * @param mostPending handshakes at a time; further connections are closed at once
 */
export function limitHandshakes(
  server: Pick<Server, "on">,
  timeoutMs: number,
  mostPending: number,
): void {
  /** By the client's address and port, which the raw connection and the encrypted one share. */
  const pending = new Map<string, ReturnType<typeof setTimeout>>();
  const done = (key: string) => {
    clearTimeout(pending.get(key));
    pending.delete(key);
  };
  server.on("connection", (socket: Socket) => {
    const key = keyOf(socket);
    done(key);
    if (pending.size >= mostPending) {
      socket.destroy();
      return;
    }
    pending.set(key, setTimeout(() => socket.destroy(), timeoutMs));
    socket.once("close", () => done(key));
  });
  server.on("secureConnection", (socket: Socket) => done(keyOf(socket)));
}

function keyOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
