import { assertEquals, assertRejects } from "@std/assert";
import { makePrivateDirectory, removeFile, replaceFile } from "./written.ts";

Deno.test("replaceFile() leaves the new text, mode 0600 and nothing beside it", async () => {
  const dir = await Deno.makeTempDir();
  await replaceFile(`${dir}/f`, "old");
  await replaceFile(`${dir}/f`, "new");
  assertEquals(await Deno.readTextFile(`${dir}/f`), "new");
  assertEquals(((await Deno.stat(`${dir}/f`)).mode ?? 0) & 0o777, 0o600);
  assertEquals([...Deno.readDirSync(dir)].map(({ name }) => name), ["f"]);
  await assertRejects(
    () => replaceFile(`${dir}/missing/f`, "x"),
    Error,
    `${dir}/missing/f cannot be written: there is no such file or folder`,
  );
  await removeFile(`${dir}/f`);
  await removeFile(`${dir}/f`);
  await Deno.remove(dir);
});

Deno.test("makePrivateDirectory() tightens a directory that others could enter", async () => {
  const dir = await Deno.makeTempDir();
  await Deno.chmod(dir, 0o755);
  await makePrivateDirectory(dir);
  await makePrivateDirectory(`${dir}/a/b`);
  for (const path of [dir, `${dir}/a/b`]) {
    assertEquals(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o700);
  }
  await Deno.remove(dir, { recursive: true });
});
