/** docs/KUBECTL.md, command by command, against the built file. */
import { assert, assertEquals } from "@std/assert";
import { hasKubectl } from "../fakes/kubectl.ts";
import { makePlace, startMaster } from "./harness.ts";

const PAGE = new URL("../../docs/KUBECTL.md", import.meta.url);

interface Step {
  /** As it stands in the page, with what belongs to its here-document. */
  readonly lines: readonly string[];
  readonly output: readonly string[];
}

/** A page in pieces: text, or a step of a console block. */
function pieces(page: string): (string | Step)[] {
  const out: (string | Step)[] = [];
  let inBlock = false;
  let inDocument = false;
  let step: { lines: string[]; output: string[] } | undefined;
  for (const line of page.split("\n")) {
    if (inDocument && step !== undefined) {
      step.lines.push(line);
      inDocument = line !== "EOF";
    } else if (!inBlock || line === "```") {
      inBlock = line === "```console";
      step = undefined;
      out.push(line);
    } else if (line.startsWith("$ ")) {
      step = { lines: [line], output: [] };
      inDocument = line.endsWith("<<EOF");
      out.push(step);
    } else {
      if (step === undefined) throw new Error(`output before a command: ${line}`);
      step.output.push(line);
    }
  }
  return out;
}

/** Without what differs from run to run, and from one kubectl to the next. */
function comparable(lines: readonly string[]): string {
  return lines.join("\n")
    .replaceAll(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\b/g, "TIME")
    .replaceAll(/(?<=\s)\d+(s|m\d*s?|h)(?=\s|$)/g, "AGE")
    .replaceAll(/ from \S+ namespace/g, "")
    .replaceAll(/[ \t]+/g, " ")
    .replaceAll(/ $/gm, "")
    .trim();
}

Deno.test("docs/KUBECTL.md: every command says what the page says", async () => {
  if (!await hasKubectl()) return;
  const isRecording = Deno.env.get("NAUTILUS_TEST_RECORD") === "1";
  const parts = pieces(await Deno.readTextFile(PAGE));
  await using place = await makePlace();
  await using _master = await startMaster(place, [], { NAUTILUS_TLS_LISTEN: "127.0.0.1:0" });
  const env = {
    KUBECONFIG: `${place.data}/admin.kubeconfig`,
    HOME: place.home,
    PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin",
  };
  const recorded: string[] = [];
  let count = 0;
  for (const part of parts) {
    if (typeof part === "string") {
      recorded.push(part);
      continue;
    }
    const [first = "", ...rest] = part.lines;
    const command = [first.slice(2), ...rest].join("\n");
    recorded.push(...part.lines);
    if (command.startsWith("export ")) continue;
    const { code, stdout } = await new Deno.Command("sh", {
      args: ["-c", `{ ${command}\n} 2>&1`],
      env,
      clearEnv: true,
      cwd: place.cwd,
      stdin: "null",
    }).output();
    const lines = new TextDecoder().decode(stdout).split("\n");
    while (lines.at(-1) === "") lines.pop();
    // What kubectl itself adds to a refusal is another thing with each version of it.
    const said = code === 0 ? lines : lines.slice(0, 1);
    recorded.push(...said.map((line) => line.trimEnd()));
    count++;
    if (!isRecording) assertEquals(comparable(said), comparable(part.output), command);
  }
  assert(count > 20);
  if (isRecording) await Deno.writeTextFile(PAGE, recorded.join("\n"));
});
