/** `make ok` / `deno task ok`: everything a change must pass, in the order that fails soonest. */

interface Step {
  readonly name: string;
  readonly args: readonly string[];
}

const STEPS: readonly Step[] = [
  { name: "format", args: ["fmt", "--check", "--quiet"] },
  { name: "lint", args: ["lint", "--quiet"] },
  { name: "types", args: ["check", "--frozen", "--quiet", "."] },
  {
    name: "architecture, circular imports",
    args: ["test", "-P", "--frozen", "--quiet", "--no-check", "tests/architecture_test.ts"],
  },
  { name: "tests", args: ["run", "-A", "--frozen", "--quiet", "tools/run_tests.ts", "--no-check"] },
];

let failed = 0;
for (const { name, args } of STEPS) {
  const started = performance.now();
  const inherit = name === "tests";
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: new URL("../", import.meta.url),
    stdin: "null",
    stdout: inherit ? "inherit" : "piped",
    stderr: inherit ? "inherit" : "piped",
  });
  const { code, stdout, stderr } = inherit
    ? { ...await child.spawn().status, stdout: new Uint8Array(), stderr: new Uint8Array() }
    : await child.output();
  // A step that passed has nothing to say.
  if (code !== 0) {
    Deno.stdout.writeSync(stdout);
    Deno.stdout.writeSync(stderr);
    failed++;
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const line = `${code === 0 ? "ok     " : "FAILED "} ${name} (${seconds} s)\n`;
  Deno.stdout.writeSync(new TextEncoder().encode(line));
}
Deno.exit(failed === 0 ? 0 : 1);
