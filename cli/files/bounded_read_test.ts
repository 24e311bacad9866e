import { assertEquals, assertRejects } from "@std/assert";
import { readBounded } from "./bounded_read.ts";

Deno.test("readBounded() reads a file up to its limit and refuses more, devices and folders", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/f`;
  await Deno.writeFile(path, new Uint8Array(100_000).fill(7));
  assertEquals((await readBounded(path, 100_000)).length, 100_000);
  await assertRejects(() => readBounded(path, 99_999), Error, "more than 99999 bytes");
  await assertRejects(() => readBounded("/dev/zero", 10), Error, "no regular file");
  await assertRejects(() => readBounded(folder, 10), Error, "no regular file");
  await assertRejects(() => readBounded(`${folder}/none`, 10), Deno.errors.NotFound);
  await Deno.remove(folder, { recursive: true });
});
