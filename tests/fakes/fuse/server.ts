/**
 * A file system in a test: the kernel's FUSE messages (bridge.c) answered in this process, so that
 * the code under test makes real system calls on real paths. Speaks the part of FUSE 7.38 that
 * device nodes and configfs need. Linux, root, gcc; see `fuseUnavailable`.
 */
import type { Bytes } from "../../../backends/mod.ts";
import { cachedBuild } from "../c_program.ts";
import {
  type CallerMemory,
  EEXIST,
  EINVAL,
  EIO,
  ENOENT,
  ENOSYS,
  ENOTTY,
  Errno,
  type FakeDirectory,
  type FakeHandle,
  type FakeNode,
  type FuseMount,
} from "./types.ts";

export * from "./types.ts";

const OP = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  setattr: 4,
  mkdir: 9,
  rmdir: 11,
  open: 14,
  read: 15,
  write: 16,
  statfs: 17,
  release: 18,
  init: 26,
  opendir: 27,
  readdir: 28,
  releasedir: 29,
  access: 34,
  interrupt: 36,
  destroy: 38,
  ioctl: 39,
  batchForget: 42,
} as const;
const HEADER_LENGTH = 40;
const FOPEN_DIRECT_IO = 1;
/** Closing sends no FLUSH: Deno closes synchronously, and we could not answer meanwhile. */
const FOPEN_NOFLUSH = 1 << 5;

/** CAP_SYS_ADMIN is bit 21: root in a container is often without it. */
function mayMount(): boolean {
  const capabilities = /^CapEff:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync("/proc/self/status"));
  const effective = BigInt(`0x${capabilities?.[1] ?? "0"}`);
  return Deno.uid() === 0 && ((effective >> 21n) & 1n) === 1n;
}

/** Why a FUSE mount cannot be made here, or undefined where it can. */
export function fuseUnavailable(): string | undefined {
  if (Deno.build.os !== "linux") return "FUSE is Linux's";
  if (!mayMount()) return "mounting needs root with CAP_SYS_ADMIN";
  try {
    Deno.openSync("/dev/fuse", { read: true, write: true }).close();
  } catch (error) {
    return `/dev/fuse: ${error instanceof Error ? error.message : String(error)}`;
  }
  try {
    const { success } = new Deno.Command("cc", { args: ["--version"], stdout: "null" })
      .outputSync();
    return success ? undefined : "no C compiler";
  } catch {
    return "no C compiler";
  }
}

/** Mounts `root` on a new folder. Dispose it to unmount. */
export async function mountFuse(root: FakeDirectory): Promise<FuseMount> {
  const folder = await Deno.makeTempDir({ prefix: "nautilus-fuse-" });
  const path = `${folder}/mount`;
  await Deno.mkdir(path);
  const process = new Deno.Command(
    await cachedBuild("fuse-bridge", [new URL("./bridge.c", import.meta.url)], []),
    {
      args: [path],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    },
  ).spawn();
  const session = new Session(root, process.stdin.getWriter());
  const done = session.run(process.stdout);
  await session.ready(done);
  return {
    path,
    async [Symbol.asyncDispose]() {
      await session.close();
      await done;
      await process.status;
      await Deno.remove(folder, { recursive: true });
    },
  };
}

function struct(length: number, fill: (view: DataView<ArrayBuffer>) => void): Bytes {
  const view = new DataView(new ArrayBuffer(length));
  fill(view);
  return new Uint8Array(view.buffer);
}

class Session {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #nodes = new Map<number, FakeNode>();
  readonly #ids = new Map<FakeNode, number>();
  readonly #handles = new Map<number, FakeHandle>();
  readonly #memoryReplies: ((frame: Bytes) => void)[] = [];
  readonly #ready = Promise.withResolvers<void>();
  #next = 1;

  constructor(root: FakeDirectory, writer: WritableStreamDefaultWriter<Uint8Array>) {
    this.#writer = writer;
    this.#id(root);
  }

  /** Resolves when the kernel has said hello; rejects where the bridge ended before. */
  ready(done: Promise<void>): Promise<void> {
    return Promise.race([
      this.#ready.promise,
      done.then(() => Promise.reject(new Error("the FUSE bridge ended before it was mounted"))),
    ]);
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  async run(stdout: ReadableStream<Uint8Array>): Promise<void> {
    let buffered = new Uint8Array(0);
    for await (const chunk of stdout) {
      const joined = new Uint8Array(buffered.length + chunk.length);
      joined.set(buffered);
      joined.set(chunk, buffered.length);
      buffered = joined;
      while (buffered.length >= 4) {
        const length = new DataView(buffered.buffer, buffered.byteOffset).getUint32(0, true);
        if (buffered.length < 4 + length) break;
        this.#frame(buffered.slice(4, 4 + length));
        buffered = buffered.subarray(4 + length);
      }
    }
  }

  #id(node: FakeNode): number {
    let id = this.#ids.get(node);
    if (id === undefined) {
      id = this.#next++;
      this.#ids.set(node, id);
      this.#nodes.set(id, node);
    }
    return id;
  }

  #send(type: string, ...parts: readonly Uint8Array[]): Promise<void> {
    const size = parts.reduce((sum, part) => sum + part.length, 1);
    const frame = new Uint8Array(4 + size);
    new DataView(frame.buffer).setUint32(0, size, true);
    frame[4] = type.charCodeAt(0);
    let offset = 5;
    for (const part of parts) {
      frame.set(part, offset);
      offset += part.length;
    }
    return this.#writer.write(frame);
  }

  #frame(frame: Bytes): void {
    const type = String.fromCharCode(frame[0] ?? 0);
    const payload = frame.subarray(1);
    if (type === "F") void this.#message(payload);
    else if (type === "M" || type === "W") this.#memoryReplies.shift()?.(payload);
    // 'E': the kernel forgot the request (its caller was killed); nobody waits for the answer
  }

  #memory(pid: number): CallerMemory {
    const ask = async (type: "R" | "W", address: bigint, rest: Uint8Array): Promise<Bytes> => {
      const { promise, resolve } = Promise.withResolvers<Bytes>();
      this.#memoryReplies.push(resolve);
      const head = struct(12, (view) => {
        view.setUint32(0, pid, true);
        view.setBigUint64(4, address, true);
      });
      await this.#send(type, head, rest);
      const reply = await promise;
      const errno = new DataView(reply.buffer, reply.byteOffset).getInt32(0, true);
      if (errno !== 0) throw new Errno(errno);
      return reply.slice(4);
    };
    return {
      read: (address, length) =>
        ask("R", address, struct(4, (view) => view.setUint32(0, length, true))),
      write: async (address, data) => void await ask("W", address, data),
    };
  }

  async #message(message: Bytes): Promise<void> {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const opcode = view.getUint32(4, true);
    const unique = view.getBigUint64(8, true);
    const silent: readonly number[] = [OP.forget, OP.batchForget, OP.interrupt];
    if (silent.includes(opcode)) return;
    let status = 0;
    let body: Uint8Array = new Uint8Array(0);
    try {
      body = await this.#answer(
        opcode,
        Number(view.getBigUint64(16, true)),
        view.getUint32(32, true),
        message.subarray(HEADER_LENGTH),
      );
    } catch (error) {
      status = error instanceof Errno ? error.errno : EIO;
      if (!(error instanceof Errno)) this.#ready.reject(error);
    }
    const head = struct(16, (out) => {
      out.setUint32(0, 16 + body.length, true);
      out.setInt32(4, -status, true);
      out.setBigUint64(8, unique, true);
    });
    await this.#send("F", head, body).catch(() => undefined); // the mount is going away
    if (opcode === OP.init) this.#ready.resolve();
  }

  async #answer(opcode: number, nodeId: number, pid: number, body: Bytes): Promise<Uint8Array> {
    const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const node = this.#nodes.get(nodeId);
    const name = (offset: number): string => {
      const end = body.indexOf(0, offset);
      return new TextDecoder().decode(body.subarray(offset, end < 0 ? undefined : end));
    };
    const handle = (): FakeHandle => {
      const found = this.#handles.get(Number(view.getBigUint64(0, true)));
      if (found === undefined) throw new Errno(EIO);
      return found;
    };
    switch (opcode) {
      case OP.init:
        return struct(64, (out) => {
          out.setUint32(0, 7, true);
          out.setUint32(4, 38, true);
          out.setUint32(8, view.getUint32(8, true), true);
          out.setUint16(16, 16, true);
          out.setUint16(18, 12, true);
          out.setUint32(20, 65536, true);
          out.setUint32(24, 1, true);
        });
      case OP.lookup: {
        const child = node?.type === "directory" ? node.entries.get(name(0)) : undefined;
        if (child === undefined) throw new Errno(ENOENT);
        return this.#entry(child);
      }
      case OP.getattr:
      case OP.setattr: {
        if (node === undefined) throw new Errno(ENOENT);
        const out = new Uint8Array(16 + 88);
        out.set(this.#attributes(node), 16);
        return out;
      }
      case OP.mkdir: {
        if (node?.type !== "directory" || node.mkdir === undefined) throw new Errno(ENOSYS);
        const child = name(8);
        if (node.entries.has(child)) throw new Errno(EEXIST);
        await node.mkdir(child);
        const made = node.entries.get(child);
        if (made === undefined) throw new Errno(EIO);
        return this.#entry(made);
      }
      case OP.rmdir:
        if (node?.type !== "directory" || node.rmdir === undefined) throw new Errno(ENOSYS);
        if (!node.entries.has(name(0))) throw new Errno(ENOENT);
        await node.rmdir(name(0));
        return new Uint8Array(0);
      case OP.open: {
        if (node?.type !== "file") throw new Errno(EIO);
        const id = this.#next++;
        this.#handles.set(id, await node.open());
        return struct(16, (out) => {
          out.setBigUint64(0, BigInt(id), true);
          out.setUint32(8, FOPEN_DIRECT_IO | FOPEN_NOFLUSH, true);
        });
      }
      case OP.read: {
        const { read } = handle();
        if (read === undefined) throw new Errno(EINVAL);
        const size = view.getUint32(16, true);
        return (await read(Number(view.getBigUint64(8, true)), size)).subarray(0, size);
      }
      case OP.write: {
        const { write } = handle();
        if (write === undefined) throw new Errno(EINVAL);
        const data = body.slice(40, 40 + view.getUint32(16, true));
        const count = await write(Number(view.getBigUint64(8, true)), data);
        return struct(8, (out) => out.setUint32(0, count, true));
      }
      case OP.release:
        handle().release?.();
        this.#handles.delete(Number(view.getBigUint64(0, true)));
        return new Uint8Array(0);
      case OP.opendir:
        return new Uint8Array(16);
      case OP.releasedir:
      case OP.access:
      case OP.destroy:
        return new Uint8Array(0);
      case OP.readdir:
        return node?.type === "directory"
          ? this.#listing(node, Number(view.getBigUint64(8, true)))
          : new Uint8Array(0);
      case OP.statfs:
        return new Uint8Array(80);
      case OP.ioctl:
        return await this.#ioctl(handle(), view, body, pid);
      default:
        throw new Errno(ENOSYS);
    }
  }

  async #ioctl(
    handle: FakeHandle,
    view: DataView,
    body: Bytes,
    pid: number,
  ): Promise<Uint8Array> {
    const command = view.getUint32(12, true);
    const argument = body.slice(32, 32 + view.getUint32(24, true));
    let result: number;
    try {
      if (handle.ioctl === undefined) throw new Errno(ENOTTY);
      result = await handle.ioctl(command, argument, this.#memory(pid));
    } catch (error) {
      result = -(error instanceof Errno ? error.errno : EIO);
    }
    const out = new Uint8Array(16 + Math.min(argument.length, view.getUint32(28, true)));
    new DataView(out.buffer).setInt32(0, result, true);
    out.set(argument.subarray(0, out.length - 16), 16);
    return out;
  }

  #attributes(node: FakeNode): Bytes {
    return struct(88, (out) => {
      out.setBigUint64(0, BigInt(this.#id(node)), true);
      // Like sysfs and configfs: a size that says nothing of the contents.
      out.setBigUint64(8, 4096n, true);
      out.setUint32(60, node.type === "file" ? 0o100000 | node.mode : 0o040755, true);
      out.setUint32(64, 1, true);
      out.setUint32(80, 4096, true);
    });
  }

  #entry(node: FakeNode): Bytes {
    const out = new Uint8Array(40 + 88); // valid for 0 seconds: the kernel caches nothing
    new DataView(out.buffer).setBigUint64(0, BigInt(this.#id(node)), true);
    out.set(this.#attributes(node), 40);
    return out;
  }

  #listing(directory: FakeDirectory, offset: number): Bytes {
    const records: Bytes[] = [];
    for (const [index, [name, node]] of [...directory.entries].entries()) {
      if (index < offset) continue;
      const text = new TextEncoder().encode(name);
      const record = new Uint8Array(24 + Math.ceil(text.length / 8) * 8);
      const view = new DataView(record.buffer);
      view.setBigUint64(0, BigInt(this.#id(node)), true);
      view.setBigUint64(8, BigInt(index + 1), true);
      view.setUint32(16, text.length, true);
      view.setUint32(20, node.type === "file" ? 8 : 4, true);
      record.set(text, 24);
      records.push(record);
    }
    const out = new Uint8Array(records.reduce((sum, record) => sum + record.length, 0));
    let at = 0;
    for (const record of records) {
      out.set(record, at);
      at += record.length;
    }
    return out;
  }
}
