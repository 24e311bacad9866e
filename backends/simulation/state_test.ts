import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { BackendError } from "../errors.ts";
import type { Bytes } from "../mod.ts";
import { createFileCounter } from "./counter.ts";
import { openSealingRoot, replaceFile } from "./state.ts";

const random = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));

async function inFolder(job: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "nautilus-state-" });
  try {
    await job(`${folder}/simulation`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("openSealingRoot() makes a root once, of mode 0600 in a folder of mode 0700", () =>
  inFolder(async (folder) => {
    const root = await openSealingRoot(folder, true, random);
    assertEquals(root.length, 32);
    assertEquals(await openSealingRoot(folder, true, random), root);
    assertEquals(await openSealingRoot(folder, false, random), root);
    assertEquals(((await Deno.stat(folder)).mode ?? 0) & 0o777, 0o700);
    assertEquals(((await Deno.stat(`${folder}/sealing_root`)).mode ?? 0) & 0o777, 0o600);
    const names = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
    assertEquals(names, ["sealing_root"], "no temporary file is left");
  }));

Deno.test("openSealingRoot() gives all that start at once the same root", () =>
  inFolder(async (folder) => {
    const roots = await Promise.all(
      Array.from({ length: 12 }, () => openSealingRoot(folder, true, random)),
    );
    assertEquals(new Set(roots.map((root) => root.toHex())).size, 1);
  }));

Deno.test("openSealingRoot() makes nothing where it may not", () =>
  inFolder(async (folder) => {
    const error = await assertRejects(() => openSealingRoot(folder, false, random), BackendError);
    assertEquals(error.code, "unavailable");
    await assertRejects(() => Deno.stat(folder), Deno.errors.NotFound);
  }));

Deno.test("openSealingRoot() refuses a root that others may read, naming the way out", () =>
  inFolder(async (folder) => {
    await openSealingRoot(folder, true, random);
    for (const mode of [0o640, 0o604, 0o660, 0o666]) {
      await Deno.chmod(`${folder}/sealing_root`, mode);
      const error = await assertRejects(() => openSealingRoot(folder, true, random), BackendError);
      assertEquals(error.code, "state_invalid");
      assert(error.message.includes(mode.toString(8)));
      assert(error.hint?.includes("chmod 0600"));
    }
  }));

Deno.test("openSealingRoot() refuses a root of any other length and does not replace it", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(folder);
    for (const length of [0, 31, 33, 5000]) {
      await replaceFile(folder, "sealing_root", random(length));
      const error = await assertRejects(() => openSealingRoot(folder, true, random), BackendError);
      assertEquals(error.code, "state_invalid");
      assertEquals((await Deno.stat(`${folder}/sealing_root`)).size, length);
    }
    await Deno.remove(`${folder}/sealing_root`);
    await Deno.mkdir(`${folder}/sealing_root`, { mode: 0o700 });
    await assertRejects(() => openSealingRoot(folder, true, random), BackendError);
  }));

Deno.test("createFileCounter() refuses an altered file and another device's", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(folder);
    const key = random(32);
    const counter = createFileCounter(folder, key, () => {});
    assertEquals(await counter.increment(0n), 1n);
    const good = await Deno.readFile(`${folder}/counter`);
    for (const at of [7, 8, 39]) {
      const bad = good.slice();
      bad[at] = (bad[at] ?? 0) ^ 1;
      await replaceFile(folder, "counter", bad);
      const error = await assertRejects(() => counter.read(), BackendError);
      assertEquals(error.code, "tampered");
      await assertRejects(() => counter.increment(1n), BackendError);
    }
    await replaceFile(folder, "counter", good);
    assertEquals(await counter.read(), 1n);
    const other = createFileCounter(folder, random(32), () => {});
    assertEquals((await assertRejects(() => other.read(), BackendError)).code, "tampered");
  }));

Deno.test("createFileCounter() is turned back by an older copy: it protects nothing that goes back with it", () =>
  inFolder(async (folder) => {
    await Deno.mkdir(folder);
    const counter = createFileCounter(folder, random(32), () => {});
    await counter.increment(0n);
    const older = await Deno.readFile(`${folder}/counter`);
    await counter.increment(1n);
    assertNotEquals(await Deno.readFile(`${folder}/counter`), older);
    await replaceFile(folder, "counter", older);
    assertEquals(await counter.read(), 1n);
  }));
