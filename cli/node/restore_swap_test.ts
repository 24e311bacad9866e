import { assert, assertEquals } from "@std/assert";
import {
  beginRestore,
  commitRestore,
  discardRestore,
  finishRestore,
  isRestoreReady,
} from "./restore_swap.ts";

const NOW_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

async function names(folder: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
}

async function inFolder(body: (data: string) => Promise<void>): Promise<void> {
  const data = await Deno.makeTempDir();
  try {
    await body(data);
  } finally {
    await Deno.remove(data, { recursive: true });
  }
}

async function former(data: string): Promise<void> {
  for (const suffix of ["", "-wal", "-shm"]) {
    await Deno.writeTextFile(`${data}/store.sqlite${suffix}`, `former${suffix}`);
  }
}

Deno.test("a restore that does not count leaves the store as it was, and nothing beside it", async () => {
  await inFolder(async (data) => {
    await former(data);
    await Deno.writeTextFile(await beginRestore(data), "half");
    assertEquals(await finishRestore(data, undefined, NOW_MS), undefined);
    assertEquals(await Deno.readTextFile(`${data}/store.sqlite`), "former");
    await Deno.writeTextFile(await beginRestore(data), "half again");
    await discardRestore(data);
    await discardRestore(data);
    assertEquals(await names(data), ["store.sqlite", "store.sqlite-shm", "store.sqlite-wal"]);
  });
});

Deno.test("finishRestore() puts the restored store into an empty folder", async () => {
  await inFolder(async (data) => {
    await Deno.writeTextFile(await beginRestore(data), "new");
    await commitRestore(data);
    assert(await isRestoreReady(data));
    assertEquals(await finishRestore(data, undefined, NOW_MS), undefined);
    assertEquals(await names(data), ["store.sqlite"]);
    assert(!await isRestoreReady(data));
  });
});

/** Every change of a folder that finishRestore() makes, in its order. */
const STEPS = ["anchor", "store.sqlite", "store.sqlite-wal", "store.sqlite-shm", "new"] as const;

for (let crashAfter = 0; crashAfter <= STEPS.length; crashAfter++) {
  Deno.test(`finishRestore() finishes what a crash left after ${crashAfter} steps, and keeps what stood there`, async () => {
    await inFolder(async (data) => {
      const anchor = `${data}/anchor`;
      await former(data);
      await Deno.writeTextFile(anchor, "seen");
      await Deno.writeTextFile(await beginRestore(data), "new");
      await commitRestore(data);
      await Deno.mkdir(`${data}/restore.ready/former`);
      for (const step of STEPS.slice(0, crashAfter)) {
        if (step === "anchor") await Deno.rename(anchor, `${anchor}.former`);
        else if (step === "new") {
          await Deno.rename(`${data}/restore.ready/store.sqlite`, `${data}/store.sqlite`);
        } else await Deno.rename(`${data}/${step}`, `${data}/restore.ready/former/${step}`);
      }
      const kept = await finishRestore(data, anchor, NOW_MS);
      assertEquals(kept, `${data}/former-store-2026-01-02T03-04-05-678Z`);
      assertEquals(await finishRestore(data, anchor, NOW_MS), undefined);
      assertEquals(await names(data), [
        "anchor.former",
        "former-store-2026-01-02T03-04-05-678Z",
        "store.sqlite",
      ]);
      assertEquals(await Deno.readTextFile(`${data}/store.sqlite`), "new");
      assertEquals(await names(kept ?? ""), [
        "store.sqlite",
        "store.sqlite-shm",
        "store.sqlite-wal",
      ]);
      assertEquals(await Deno.readTextFile(`${kept}/store.sqlite-wal`), "former-wal");
    });
  });
}
