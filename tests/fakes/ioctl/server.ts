/**
 * The fake devices without FUSE: a library in the place of libc whose `open` and `ioctl` reach the
 * test over a unix socket (substitute.c). The same fakes answer; only the system calls are not real.
 */
import type { Bytes } from "../../../backends/mod.ts";
import { cachedBuild, compilerUnavailable } from "../c_program.ts";
import { type CallerMemory, EIO, ENOTTY, Errno, type FakeFile } from "../fuse/types.ts";

/** Why this cannot be done here; undefined: it can. */
export async function substituteUnavailable(): Promise<string | undefined> {
  if (Deno.build.os !== "linux") return "the substitute is for Linux";
  return await compilerUnavailable(["sys/ioctl.h", "sys/un.h"]);
}

export interface SubstituteDevices extends AsyncDisposable {
  /** What a backend's configuration names as `libc`. */
  readonly libc: string;
  /** The folder of the devices, by their names. */
  readonly path: string;
}

/** Devices by name. Dispose it when no backend holds one any more. */
export async function serveSubstitute(
  files: Readonly<Record<string, FakeFile>>,
): Promise<SubstituteDevices> {
  const libc = await cachedBuild("ioctl-substitute.so", [
    new URL("./substitute.c", import.meta.url),
  ], ["-shared", "-fPIC", "-fvisibility=default"]);
  const path = await Deno.makeTempDir({ prefix: "nautilus-ioctl-" });
  const listeners = Object.entries(files).map(([name, file]) => {
    const listener = Deno.listen({ transport: "unix", path: `${path}/${name}` });
    return { listener, serving: accept(listener, file) };
  });
  return {
    libc,
    path,
    async [Symbol.asyncDispose]() {
      for (const { listener } of listeners) listener.close();
      await Promise.all(listeners.map(({ serving }) => serving));
      await Deno.remove(path, { recursive: true });
    },
  };
}

async function accept(listener: Deno.UnixListener, file: FakeFile): Promise<void> {
  const connections: Promise<void>[] = [];
  for await (const connection of listener) connections.push(serve(connection, file));
  await Promise.all(connections);
}

async function serve(connection: Deno.UnixConn, file: FakeFile): Promise<void> {
  using _closing = connection;
  const frames = framesOf(connection);
  const handle = await file.open();
  const next = async (): Promise<Bytes> => {
    const { value, done } = await frames.next();
    if (done === true) throw new Errno(EIO);
    return value;
  };
  const memory: CallerMemory = {
    async read(address, length) {
      const ask = new Uint8Array(12);
      const view = new DataView(ask.buffer);
      view.setBigUint64(0, address, true);
      view.setUint32(8, length, true);
      await send(connection, "R", ask);
      return (await next()).slice(1);
    },
    async write(address, data) {
      const head = new Uint8Array(8);
      new DataView(head.buffer).setBigUint64(0, address, true);
      await send(connection, "W", head, data);
      await next();
    },
  };
  for await (const frame of frames) {
    const command = new DataView(frame.buffer, frame.byteOffset).getUint32(1, true);
    const argument = frame.slice(5);
    const result = new Uint8Array(4);
    let value: number;
    try {
      if (handle.ioctl === undefined) throw new Errno(ENOTTY);
      value = await handle.ioctl(command, argument, memory);
    } catch (error) {
      value = -(error instanceof Errno ? error.errno : EIO);
    }
    new DataView(result.buffer).setInt32(0, value, true);
    await send(connection, "D", result, argument);
  }
  handle.release?.();
}

async function* framesOf(connection: Deno.UnixConn): AsyncGenerator<Bytes, void> {
  for (;;) {
    const head = await exactly(connection, 4);
    if (head === undefined) return;
    const frame = await exactly(connection, new DataView(head.buffer).getUint32(0, true));
    if (frame === undefined) return;
    yield frame;
  }
}

async function exactly(connection: Deno.UnixConn, length: number): Promise<Bytes | undefined> {
  const out = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = await connection.read(out.subarray(at));
    if (count === null) return undefined;
    at += count;
  }
  return out;
}

async function send(
  connection: Deno.UnixConn,
  letter: string,
  ...parts: readonly Uint8Array[]
): Promise<void> {
  const size = parts.reduce((sum, part) => sum + part.length, 1);
  const frame = new Uint8Array(4 + size);
  new DataView(frame.buffer).setUint32(0, size, true);
  frame[4] = letter.charCodeAt(0);
  let at = 5;
  for (const part of parts) {
    frame.set(part, at);
    at += part.length;
  }
  for (let done = 0; done < frame.length;) done += await connection.write(frame.subarray(done));
}
