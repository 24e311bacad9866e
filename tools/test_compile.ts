/**
 * `make test-compile`: builds form (a) with the denort that `DENORT_BIN` names and runs the
 * integration tests on it. Opt-in, because no denort of this Deno is in the npm registry.
 */

const ROOT = new URL("../", import.meta.url);
const OUT = "dist/test/nautilus-compiled";

async function run(args: readonly string[], env: Record<string, string>): Promise<boolean> {
  const child = new Deno.Command(Deno.execPath(), { args: [...args], cwd: ROOT, env });
  return (await child.spawn().status).success;
}

function say(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (Deno.env.get("DENORT_BIN") === undefined) {
  say(
    `skipped: form (a) is not tested: DENORT_BIN names no denort of Deno ${Deno.version.deno}`,
  );
  Deno.exit(0);
}
const built = await run(["run", "-A", "tools/build.ts", "--out", OUT], {
  NAUTILUS_BUILD_FORM: "a",
});
if (!built) Deno.exit(1);
const passed = await run(["test", "-P", "--frozen", "--quiet", "tests/integration/"], {
  NAUTILUS_BINARY: new URL(OUT, ROOT).pathname,
});
Deno.exit(passed ? 0 : 1);
