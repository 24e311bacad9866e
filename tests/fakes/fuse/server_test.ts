import { assertEquals, assertRejects } from "@std/assert";
import { openIoctlDevice } from "../../../backends/ffi/device.ts";
import { BackendError, type Bytes } from "../../../backends/mod.ts";
import { spawnWorker } from "../worker_entry.ts";
import { Errno, type FakeDirectory, fuseUnavailable, mountFuse } from "./server.ts";

const why = fuseUnavailable();
const options = (name: string): { name: string; ignore: boolean } => ({
  name: `${name}${why === undefined ? "" : ` (skipped: ${why})`}`,
  ignore: why !== undefined,
});
/** _IOWR('x', 1, 16 bytes). */
const ECHO = 0xc0107801;

Deno.test({
  ...options("mountFuse() serves reads, writes, folders and their errors through the kernel"),
  fn: async () => {
    let stored: Bytes = new Uint8Array(0);
    let released = 0;
    const root: FakeDirectory = {
      type: "directory",
      entries: new Map([["file", {
        type: "file",
        mode: 0o600,
        open: () => ({
          read: (offset, size) => stored.slice(offset, offset + size),
          write: (_offset, data) => {
            if (data.length > 8) throw new Errno(22);
            stored = data;
            return data.length;
          },
          release: () => void released++,
        }),
      }]]),
      mkdir: (name) => void root.entries.set(name, { type: "directory", entries: new Map() }),
      rmdir: (name) => void root.entries.delete(name),
    };
    await using mount = await mountFuse(root);
    {
      using file = await Deno.open(`${mount.path}/file`, { write: true });
      await file.write(new TextEncoder().encode("hello"));
    }
    assertEquals(await Deno.readTextFile(`${mount.path}/file`), "hello");
    assertEquals(released, 1);
    await assertRejects(() => Deno.writeFile(`${mount.path}/file`, new Uint8Array(9)));
    await Deno.mkdir(`${mount.path}/x`);
    const names = await Array.fromAsync(Deno.readDir(mount.path), ({ name }) => name);
    assertEquals(names.sort(), ["file", "x"]);
    await Deno.remove(`${mount.path}/x`);
    await assertRejects(() => Deno.stat(`${mount.path}/x`), Deno.errors.NotFound);
  },
});

Deno.test({
  ...options("openIoctlDevice() makes real ioctls whose pointers the driver follows"),
  fn: async () => {
    const root: FakeDirectory = {
      type: "directory",
      entries: new Map([["device", {
        type: "file",
        mode: 0o600,
        open: () => ({
          ioctl: async (command, argument, memory) => {
            const view = new DataView(argument.buffer);
            if (command !== ECHO) throw new Errno(25);
            const address = view.getBigUint64(0, true);
            const length = view.getUint32(8, true);
            const data = await memory.read(address, length);
            await memory.write(address, data.map((byte) => byte ^ 0xff));
            view.setUint32(12, 0xabcd, true);
            if (length === 3) throw new Errno(5);
            return 7;
          },
        }),
      }]]),
    };
    await using mount = await mountFuse(root);
    const path = `${mount.path}/device`;
    await using device = await openIoctlDevice({ kind: "SEV", path, spawnWorker });
    const argument = (length: number): Bytes => {
      const bytes = new Uint8Array(16);
      new DataView(bytes.buffer).setUint32(8, length, true);
      return bytes;
    };
    const links = [{ from: 0, at: 0, to: 1 }];
    const call = (length: number) =>
      device.ioctl({
        request: ECHO,
        buffers: [argument(length), Uint8Array.of(1, 2, 3, 4)],
        links,
      });
    const answers = await Promise.all([call(4), call(3), call(4)]);
    assertEquals(answers.map(({ errno }) => errno), [0, 5, 0]);
    assertEquals(answers[0]?.value, 7);
    assertEquals(answers[0]?.buffers[1], Uint8Array.of(0xfe, 0xfd, 0xfc, 0xfb));
    assertEquals(answers[1]?.buffers[0]?.toHex(), "0000000000000000" + "03000000" + "cdab0000");
    const other = await device.ioctl({ request: 0x7802, buffers: [new Uint8Array(8)], links: [] });
    assertEquals(other.errno, 25);
    const outside = { request: ECHO, buffers: [argument(4)], links: [{ from: 0, at: 12, to: 0 }] };
    assertEquals((await assertRejects(() => device.ioctl(outside), BackendError)).code, "io");
    await device[Symbol.asyncDispose]();
    assertEquals((await assertRejects(() => call(4), BackendError)).code, "closed");
  },
});

Deno.test("openIoctlDevice() names the errno of a device that is not there", async () => {
  const error = await assertRejects(
    () => openIoctlDevice({ kind: "SEV", path: "/nowhere/sev-guest", spawnWorker }),
    BackendError,
  );
  assertEquals([error.code, error.nativeStatus?.name], ["unavailable", "ENOENT"]);
});
