/** The processes of the demo: started, read line by line, killed; none survives it. */

export interface Running extends AsyncDisposable {
  readonly pid: number;
  /** Everything printed so far, for when something goes wrong. */
  output(): string;
  kill(signal: Deno.Signal): void;
  readonly status: Promise<Deno.CommandStatus>;
}

/**
 * Starts a program and resolves with the first line of its output that `ready` accepts.
 * @throws {Error} with all it printed when it ends before that, or after `timeoutMs`.
 */
export async function start<T>(options: {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly ready: (line: string) => T | undefined;
  readonly timeoutMs: number;
}): Promise<{ readonly running: Running; readonly value: T }> {
  const child = new Deno.Command(options.command, {
    args: [...options.args],
    cwd: options.cwd,
    env: { ...options.env },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const found = Promise.withResolvers<T>();
  const printed: string[] = [];
  const readers = [
    ...[child.stdout, child.stderr].map((stream) =>
      eachLine(stream, (line) => {
        printed.push(line);
        const value = options.ready(line);
        if (value !== undefined) found.resolve(value);
      })
    ),
  ];
  const status = child.status;
  const ended = status.then(async ({ code }) => {
    await Promise.all(readers);
    found.reject(new Error(`${options.command} ended with ${code}:\n${printed.join("\n")}`));
  });
  const timer = setTimeout(
    () => found.reject(new Error(`${options.command} is not ready:\n${printed.join("\n")}`)),
    options.timeoutMs,
  );
  const running: Running = {
    pid: child.pid,
    status,
    output: () => printed.join("\n"),
    kill: (signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGKILL");
      } catch (error) {
        if (!(error instanceof TypeError) && !(error instanceof Deno.errors.NotFound)) throw error;
      }
      await ended;
    },
  };
  try {
    return { running, value: await found.promise };
  } catch (error) {
    await running[Symbol.asyncDispose]();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (line: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    lines.forEach(take);
  }
  if (rest !== "") take(rest);
}
