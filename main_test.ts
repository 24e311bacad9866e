import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { main } from "./main.ts";
import type { CommandIo } from "./cli/command.ts";

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const said = { stdout: "", stderr: "" };
  const io: CommandIo = {
    args,
    env: {},
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    isRoot: false,
    hostName: "test",
    startedAt: 0,
    stdout: (text) => void (said.stdout += text),
    stderr: (text) => void (said.stderr += text),
    spawnWorker: () => {
      throw new Error("no worker is wanted here");
    },
  };
  return { code: await main(io), ...said };
}

Deno.test("main() lists every command, each with its own --help that names its usage", async () => {
  const { code, stdout } = await run("--help");
  assertEquals(code, 0);
  const names = [...stdout.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name ?? "");
  assert(names.length >= 8, names.join());
  for (const name of names) {
    const help = await run(name, "--help");
    assertEquals([help.code, help.stderr], [0, ""], name);
    assertMatch(help.stdout, new RegExp(`Usage: nautilus ${name}\\b`), name);
  }
});

Deno.test("main() refuses an unknown command with 2 and suggests the nearest", async () => {
  const { code, stdout, stderr } = await run("atest");
  assertEquals([code, stdout], [2, ""]);
  assertStringIncludes(stderr, 'unknown command "atest"; did you mean "attest"?');
  assertEquals((await run("constructor")).code, 2);
});

Deno.test("main() refuses unknown, repeated, empty and misplaced flags with 2, naming them", async () => {
  const cases: [string[], string][] = [
    [["version", "--verbos"], "unknown flag --verbos; did you mean --verbose?"],
    [["version", "--json=yes"], "--json takes no value"],
    [["version", "extra"], 'unexpected argument "extra"'],
    [["attest", "--nonce", "00", "--nonce", "01"], "--nonce is given 2 times"],
    [["attest", "--nonce"], "--nonce wants a value"],
    [["attest"], "8 to 64 bytes in hex"],
    [["key", "rotat"], 'unknown action "rotat"; did you mean "rotate"?; valid are: status'],
    [["key"], "an action is missing; valid are: status, rotate"],
    [["store"], "an action is missing; valid are: get"],
    [["etcd", "constructor"], 'unknown action "constructor"'],
    [["policy", "chek"], 'did you mean "check"?'],
    [["admin", "keygen"], "nautilus admin keygen: --out FILE is missing"],
    [["admin", "login", "--key", "k"], "nautilus admin login: --master URL is missing"],
    [["key", "status", "--spki", "00"], "--spki needs --master URL"],
    [
      ["store", "backup", "--out", "new", "--master", "https://u:p@h:1", "--key", "none"],
      "--key none",
    ],
    [["store", "get"], "KEY is missing"],
    [["store", "get", "k", "--limit", "many"], '--limit "many"'],
    [["store", "get", "k", "--limit", "-1"], '--limit "-1"'],
  ];
  for (const [args, text] of cases) {
    const { code, stdout, stderr } = await run(...args);
    assertEquals([code, stdout], [2, ""], args.join(" ") + stderr);
    assertStringIncludes(stderr, text);
    assertStringIncludes(stderr, `nautilus ${args[0]}`);
  }
});

Deno.test("main() prints the version, for people and machines", async () => {
  assertMatch((await run("version")).stdout, /^nautilus \d+\.\d+\.\d+\n$/);
  assertEquals((await run("--version")).stdout, (await run("version")).stdout);
  const facts: Record<string, unknown> = JSON.parse((await run("version", "--json")).stdout);
  assertEquals(Object.keys(facts), ["version"]);
});
