import { assertEquals, assertRejects } from "@std/assert";
import { toFile } from "./backup.ts";

Deno.test("toFile() gives a backup its name when it is whole, and leaves nothing where it is not", async () => {
  const folder = await Deno.makeTempDir();
  const names = () => [...Deno.readDirSync(folder)].map(({ name }) => name);
  {
    await using whole = await toFile(`${folder}/whole`);
    await whole.write(Uint8Array.of(1, 2));
    await whole.finish();
  }
  {
    await using cut = await toFile(`${folder}/cut`);
    await cut.write(Uint8Array.of(1));
  }
  assertEquals(names(), ["whole"]);
  assertEquals(await Deno.readFile(`${folder}/whole`), Uint8Array.of(1, 2));
  assertEquals(((await Deno.stat(`${folder}/whole`)).mode ?? 0) & 0o777, 0o600);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("toFile() names the backup's file when the medium is full, and when its folder is not there", async () => {
  await using target = await toFile("/backups/full", () => Deno.open("/dev/full", { write: true }));
  await assertRejects(
    () => target.write(new Uint8Array(4_096)),
    Error,
    "/backups/full cannot be written: no space is left on the device; nothing was kept",
  );
  const folder = await Deno.makeTempDir();
  await assertRejects(
    () => toFile(`${folder}/none/backup`),
    Error,
    `${folder}/none/backup cannot be written: there is no such file or folder`,
  );
  await Deno.remove(folder);
});
