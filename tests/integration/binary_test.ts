/** The built file as such: arguments, environment, exit codes, what it touches and leaves open. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { createHash } from "node:crypto";
import { VERSION } from "../../version.ts";
import { asRecord, builtBinary, makePlace, type Place, runBinary, startMaster } from "./harness.ts";

/** What is true of the launcher's form only; form (a) starts by itself. */
const launcherOnly = Deno.env.get("NAUTILUS_BINARY") !== undefined
  ? { ignore: true, why: " (launcher only: NAUTILUS_BINARY names another form)" }
  : { ignore: false, why: "" };

async function listing(folder: string): Promise<readonly string[]> {
  return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name).sort();
}

async function expectUntouched(place: Place): Promise<void> {
  assertEquals([await listing(place.cwd), await listing(place.home)], [[], []]);
}

Deno.test("nautilus version prints the version and touches nothing", async () => {
  await using place = await makePlace();
  const result = await runBinary(place, ["version"]);
  assertEquals(result, { code: 0, signal: null, stdout: `nautilus ${VERSION}\n`, stderr: "" });
  await expectUntouched(place);
});

Deno.test("nautilus --help lists the commands; none given is a usage error", async () => {
  await using place = await makePlace();
  const help = await runBinary(place, ["--help"]);
  assertEquals(help.code, 0);
  for (const name of ["serve", "detect", "attest", "key", "store", "version"]) {
    assertMatch(help.stdout, new RegExp(`^ +${name} `, "m"));
    const own = await runBinary(place, [name, "--help"]);
    assertEquals([own.code, own.stdout.includes(`nautilus ${name}`)], [0, true]);
  }
  assertEquals((await runBinary(place, [])).code, 2);
});

Deno.test("nautilus refuses an unknown flag or command with exit code 2, naming it", async () => {
  await using place = await makePlace();
  const flag = await runBinary(place, ["version", "--verbos"]);
  assertEquals([flag.code, flag.stdout], [2, ""]);
  assertStringIncludes(flag.stderr, "--verbos");
  const command = await runBinary(place, ["sevre"]);
  assertEquals(command.code, 2);
  assertStringIncludes(command.stderr, 'did you mean "serve"');
  await expectUntouched(place);
});

Deno.test({
  name: `the runtime takes no orders from the environment${launcherOnly.why}`,
  ignore: launcherOnly.ignore,
  fn: async () => {
    await using place = await makePlace();
    const marker = `${place.data}.marker`;
    const preload = `${place.data}.preload.cjs`;
    await Deno.writeTextFile(preload, `require("fs").writeFileSync("${marker}", "")`);
    const result = await runBinary(place, ["version"], {
      DENO_V8_FLAGS: "--no-such-flag",
      DENO_DIR: `${place.home}/deno`,
      DENO_COVERAGE_DIR: `${place.home}/coverage`,
      NODE_OPTIONS: `--require ${preload}`,
      LD_PRELOAD: "/nowhere/preload.so",
      LD_LIBRARY_PATH: place.cwd,
      RUST_LOG: "trace",
      OTEL_DENO: "true",
    });
    assertEquals(result, { code: 0, signal: null, stdout: `nautilus ${VERSION}\n`, stderr: "" });
    await expectUntouched(place);
  },
});

Deno.test({
  name: `a master gives no debugger, no core file and no new privileges${launcherOnly.why}`,
  ignore: launcherOnly.ignore,
  fn: async () => {
    await using place = await makePlace();
    await using master = await startMaster(place);
    const read = (path: string) => Deno.readTextFile(`/proc/${master.pid}/${path}`);
    for (const task of await listing(`/proc/${master.pid}/task`)) {
      const status = await readTask(`/proc/${master.pid}/task/${task}/status`);
      if (status === undefined) continue;
      // SIGUSR1 (10), which would open Deno's inspector, is blocked in every thread.
      const blocked = BigInt(`0x${/^SigBlk:\s*(\w+)$/m.exec(status)?.[1] ?? ""}`);
      assert((blocked & 1n << 9n) !== 0n, `thread ${task} does not block SIGUSR1`);
      assertMatch(status, /^NoNewPrivs:\s*1$/m);
    }
    assertMatch(await read("limits"), /^Max core file size +0 +0 /m);
    const { uid } = await Deno.stat(`/proc/${master.pid}/mem`);
    assertEquals(uid, 0, "an undumpable process's memory belongs to root");
    assertEquals((await master.end("SIGTERM")).code, 0);
    await expectUntouched(place);
  },
});

/** `undefined` for a thread that has ended meanwhile. */
async function readTask(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    // ESRCH: the thread ended between the listing and the read.
    if (error instanceof Deno.errors.NotFound || String(error).includes("os error 3")) {
      return undefined;
    }
    throw error;
  }
}

Deno.test("the measurement in the attestation is SHA-384 over the length-prefixed file", async () => {
  await using place = await makePlace();
  const file = await Deno.readFile(await builtBinary());
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, file.length);
  const expected = createHash("sha384").update(length).update(file).digest("hex");
  await using master = await startMaster(place);
  const response = await fetch(`${master.url}/api/v1/attestation`);
  const attestation = asRecord(await response.json());
  assertEquals(attestation["measurement"], expected);
});

Deno.test("a master killed with -9 starts again on the same data", async () => {
  await using place = await makePlace();
  const first = await startMaster(place);
  assertEquals((await first.end("SIGKILL")).signal, "SIGKILL");
  await using second = await startMaster(place);
  const response = await fetch(`${second.url}/livez`);
  await response.body?.cancel();
  assertEquals(response.status, 200);
});

Deno.test({
  name: `a file cut short or grown refuses to start with exit code 3${launcherOnly.why}`,
  ignore: launcherOnly.ignore,
  fn: async () => {
    await using place = await makePlace();
    const damaged = `${place.data}.damaged`;
    await Deno.copyFile(await builtBinary(), damaged);
    const { size } = await Deno.stat(damaged);
    for (const damagedSize of [size + 1, size - 1]) {
      await Deno.truncate(damaged, damagedSize);
      const { code, stderr } = await new Deno.Command(damaged, { args: ["version"] }).output();
      assertEquals(code, 3);
      assertStringIncludes(new TextDecoder().decode(stderr), "damaged");
    }
  },
});
