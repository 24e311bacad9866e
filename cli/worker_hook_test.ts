/** The operator's program: what it is given, and that nothing of it outlives its time. */
import { assertEquals } from "@std/assert";
import { getLogger } from "@logtape/logtape";
import { createHook, type HookLimits } from "./worker_hook.ts";

const HOUR_MS = 3_600_000;
/** The grace is waited for to its end only where nobody buries the dead (a container without init). */
const PATIENT: HookLimits = { timeoutMs: HOUR_MS, graceMs: 2_000 };

interface Given {
  readonly command: string;
  readonly limits?: HookLimits;
  readonly env?: Readonly<Record<string, string>>;
  /** Of the pod's JSON, in characters. */
  readonly size?: number;
  readonly signal: AbortSignal;
}

function runHook({ command, limits = PATIENT, env = {}, size = 0, signal }: Given): Promise<void> {
  const log = getLogger(["test"]);
  const hook = createHook({ command, log, limits, env: { PATH: "/usr/bin:/bin", ...env } });
  const object = { metadata: { uid: "u" }, spec: "x".repeat(size) };
  return hook("n", { type: "ADDED", object, uid: "u" }, signal);
}

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A process that writes its id there with `echo`; read once the line is whole. */
async function pidIn(path: string): Promise<number> {
  for (;;) {
    const text = await Deno.readTextFile(path).catch(() => "");
    if (text.endsWith("\n")) return Number(text);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Ended, though perhaps not yet buried by whoever inherited it. */
async function untilDead(pid: number): Promise<void> {
  for (;;) {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => ") X ");
    if (/^\) [ZX] /.test(stat.slice(stat.lastIndexOf(")")))) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("createHook() gives the change as JSON, and the environment without the launcher's own", () =>
  withFolder(async (folder) => {
    await runHook({
      command: `cat > "$OUT/in"; env > "$OUT/env"`,
      env: { OUT: folder, DENO_DIR: "/dev/null/none", MALLOC_ARENA_MAX: "2", KEPT: "yes" },
      signal: new AbortController().signal,
    });
    assertEquals(JSON.parse(await Deno.readTextFile(`${folder}/in`)), {
      v: 1,
      type: "ADDED",
      node_id: "n",
      pod: { metadata: { uid: "u" }, spec: "" },
    });
    const names = (await Deno.readTextFile(`${folder}/env`)).split("\n")
      .map((line) => line.split("=")[0] ?? "");
    assertEquals(names.filter((name) => /^(DENO_|MALLOC_|KEPT)/.test(name)), ["KEPT"]);
  }));

Deno.test("createHook() starts nothing once its signal is aborted", () =>
  withFolder(async (folder) => {
    await runHook({ command: `: > ${folder}/started`, signal: AbortSignal.abort() });
    assertEquals([...Deno.readDirSync(folder)], []);
  }));

Deno.test("createHook() ends the program's children, too, when it is stopped", () =>
  withFolder(async (folder) => {
    const stop = new AbortController();
    const running = runHook({
      command: `sh -c 'echo $$ > ${folder}/pid; sleep 3600; :'; :`,
      signal: stop.signal,
    });
    const pid = await pidIn(`${folder}/pid`);
    stop.abort();
    await running;
    await untilDead(pid);
  }));

Deno.test("createHook() kills who ignores SIGTERM, and a child that holds the pipe of a large change", () =>
  withFolder(async (folder) => {
    // Nobody reads: the write of a megabyte can never end by itself.
    await runHook({
      command: `trap '' TERM; (echo $$ > ${folder}/pid; sleep 3600; :) ; :`,
      limits: { timeoutMs: 300, graceMs: 50 },
      size: 1 << 20,
      signal: new AbortController().signal,
    });
    const text = await Deno.readTextFile(`${folder}/pid`).catch(() => "");
    if (text !== "") await untilDead(Number(text));
  }));

Deno.test("createHook() goes on where the program reads nothing and ends", () =>
  runHook({ command: "exit 3", size: 1 << 20, signal: new AbortController().signal }));
