import { assertEquals, assertMatch } from "@std/assert";
import { programCommand } from "./program_form.ts";

Deno.test("programCommand() starts this very program, whatever PATH and working directory are", async () => {
  const { command, args } = programCommand();
  assertMatch(command, /^\//);
  const { code, stdout } = await new Deno.Command(command, {
    args: [...args, "version"],
    cwd: "/",
    env: { PATH: "/nowhere" },
  }).output();
  assertEquals(code, 0);
  assertMatch(new TextDecoder().decode(stdout), /^nautilus /);
});
