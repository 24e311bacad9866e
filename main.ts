/**
 * The commands of the binary. Everything concrete is constructed here and in cli/, nowhere else;
 * each command is loaded when it is asked for, so that a Worker that re-enters this file, or
 * `version`, does not pay for the rest.
 */
import {
  type Command,
  type CommandIo,
  EXIT,
  type ExitCode,
  Refused,
  UsageError,
} from "./cli/command.ts";
import { networkReason } from "./cli/client/unreachable.ts";
import { fileReason } from "./cli/files/reason.ts";
import { ConfigError, nearest } from "./config.ts";
import { programForm } from "./cli/program_form.ts";
import { holdMessages } from "./thread_inbox.ts";
import { VERSION } from "./version.ts";

const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import("./cli/serve.ts")).serve,
  detect: async () => (await import("./cli/detect.ts")).detect,
  attest: async () => (await import("./cli/attest.ts")).attest,
  verify: async () => (await import("./cli/verify/verify.ts")).verify,
  policy: async () => (await import("./cli/verify/policy.ts")).policy,
  key: async () => (await import("./cli/key/key.ts")).key,
  etcd: async () => (await import("./cli/etcd.ts")).etcd,
  admin: async () => (await import("./cli/admin/admin.ts")).admin,
  store: async () => (await import("./cli/store/store.ts")).store,
  worker: async () => (await import("./cli/worker.ts")).worker,
  signer: async () => (await import("./cli/signer.ts")).signer,
  version: async () => (await import("./cli/version.ts")).version,
};

async function overview(): Promise<string> {
  const commands = await Promise.all(Object.values(COMMANDS).map((load) => load()));
  const width = Math.max(...commands.map(({ name }) => name.length));
  return [
    `nautilus ${VERSION}: the master node of K3s-DaaS, run inside a TEE.`,
    "",
    "Usage: nautilus COMMAND [FLAGS]",
    "",
    ...commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "`nautilus COMMAND --help` has the flags. Exit codes: 0 done, 1 the answer is no,",
    "2 usage or configuration, 3 environment (no TEE, device, chain, disk), 130 interrupted.",
    "",
  ].join("\n");
}

/** Runs one command line. Every failure ends here as one message and an exit code. */
export async function main(io: CommandIo): Promise<ExitCode> {
  try {
    return await dispatch(io);
  } catch (error) {
    // Whatever had no command yet: standard output that cannot be written, above all.
    io.stderr(describeFailure(undefined, "", error));
    return exitCodeOf(error);
  }
}

async function dispatch(io: CommandIo): Promise<ExitCode> {
  const [name, ...args] = io.args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    io.stdout(await overview());
    return name === undefined ? EXIT.usage : EXIT.done;
  }
  const load = COMMANDS[name === "--version" ? "version" : name];
  if (load === undefined || !Object.hasOwn(COMMANDS, name === "--version" ? "version" : name)) {
    const guess = nearest(name, Object.keys(COMMANDS));
    io.stderr(
      `nautilus: unknown command "${name}"` +
        (guess === undefined ? "" : `; did you mean "${guess}"?`) +
        "\nRun `nautilus --help` for the commands.\n",
    );
    return EXIT.usage;
  }
  const command = await load();
  if (args.includes("--help") || args.includes("-h")) {
    io.stdout(`${command.summary}\n\n${command.usage}\n`);
    return EXIT.done;
  }
  try {
    return await command.run({ ...io, args });
  } catch (error) {
    const [action = ""] = args;
    const named = command.actions?.includes(action) === true ? ` ${action}` : "";
    io.stderr(describeFailure(command, named, error));
    return exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError || error instanceof ConfigError) return EXIT.usage;
  return error instanceof Refused ? EXIT.no : EXIT.environment;
}

/** The error, its causes, and what an operator can do. Stack traces are for developers. */
function describeFailure(command: Command | undefined, action: string, error: unknown): string {
  const name = command === undefined ? "nautilus" : `nautilus ${command.name}`;
  const lines = [`${name}${action}: ${messageOf(error)}`];
  for (let at = error; at instanceof Error; at = at.cause) {
    const said = lines.at(-1) ?? "";
    const isSaid = [messageOf(at.cause), fileReason(at.cause), networkReason(at.cause)]
      .some((why) => said.includes(why));
    if (at.cause instanceof Error && !isSaid) {
      lines.push(`  because: ${messageOf(at.cause)}`);
    }
    const hint = "hint" in at && typeof at.hint === "string" ? `  hint: ${at.hint}` : undefined;
    if (hint !== undefined && !lines.includes(hint)) lines.push(hint);
  }
  if (error instanceof UsageError) lines.push(`  See: ${name} --help`);
  return lines.join("\n") + "\n";
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function spawnWorker(name: string): Worker {
  return new Worker(import.meta.url, { type: "module", name });
}

function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  let bytes = new TextEncoder().encode(text);
  try {
    while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
  } catch (error) {
    // The reader of a pipe went away (`nautilus … | head`): nobody is left to tell.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

/**
 * Begins to measure the built file before anything else is loaded: it takes as long as the rest of a
 * boot. Where only the configuration file asks for the simulation, the backend begins it later.
 */
async function beginMeasuring(
  env: Readonly<Record<string, string>>,
): Promise<Pick<CommandIo, "measuring">> {
  const [command, ...args] = Deno.args;
  const simulated = env["TEE_MODE"] === "simulation" || args.includes("simulation") ||
    args.includes("--tee-mode=simulation");
  if (command !== "serve" || !simulated || programForm() === "source") return {};
  const { beginMappedSha384 } = await import("./backends/ffi/mapped_digest.ts");
  const measuring = beginMappedSha384("/proc/self/exe");
  measuring?.catch(() => {}); // awaited, and thrown, when the backend asks for it
  return { measuring };
}

if (import.meta.main) {
  if ("DedicatedWorkerGlobalScope" in globalThis) {
    const release = holdMessages(globalThis);
    await (await import("./threads.ts")).runThread(self.name);
    release();
  } else {
    const env = Deno.env.toObject();
    Deno.exit(
      await main({
        args: Deno.args,
        env,
        ...await beginMeasuring(env),
        stdoutIsTerminal: Deno.stdout.isTerminal(),
        stderrIsTerminal: Deno.stderr.isTerminal(),
        isRoot: Deno.uid() === 0,
        hostName: Deno.hostname(),
        startedAt: performance.timeOrigin,
        stdout: (text) => writeAll(Deno.stdout, text),
        stderr: (text) => writeAll(Deno.stderr, text),
        spawnWorker,
      }),
    );
  }
}
