/** `nautilus store backup`: the running master's store into a file, or to standard output. */
import { createHash } from "node:crypto";
import { OWN_API_PATHS } from "../../api/k8s/own_paths.ts";
import { STORE_BYTES_HEADER } from "../../api/routes/backup.ts";
import { scanBackup, StoreError } from "../../store/mod.ts";
import { type CommandIo, EXIT, type ExitCode, UsageError } from "../command.ts";
import { mebibytes, progressLine } from "../progress.ts";
import { RecoveryRefused, wanted } from "../files/document.ts";
import { MASTER_FLAGS, reachMaster } from "../client/running_master.ts";
import { loadSettings } from "../settings.ts";
import { watchStopSignals } from "../stop_signal.ts";

const MAX_REFUSAL_BYTES = 64 << 10;

export async function storeBackup(io: CommandIo): Promise<ExitCode> {
  const { config, flags } = await loadSettings(io, io.args, { strings: ["out", ...MASTER_FLAGS] });
  const out = wanted(flags.strings, "out");
  if (out !== "-") await requireFree(out);
  using stop = watchStopSignals();
  const master = await reachMaster(flags.strings, config.dataDir);
  const answer = await master.stream(OWN_API_PATHS.adminBackup);
  if (answer.status !== 200) throw await refusal(master.origin, answer.status, answer.body);
  const expected = Number(answer.headers.get(STORE_BYTES_HEADER.toLowerCase()) ?? 0);
  await using target = out === "-" ? toStdout() : await toFile(out);
  const say = progressLine(io, () => performance.now());
  const digest = createHash("sha256");
  const pieces = answer.body[Symbol.asyncIterator]();
  let piece: Uint8Array = new Uint8Array(0);
  let done = 0;
  const ended = stop.wait().then(() => {
    throw new Error("asked to stop");
  });
  ended.catch(() => {}); // told where it is raced
  try {
    // What arrives is written, and looked at: a stream that is whole ends with its last chunk.
    const { header, trailer, bytes } = await scanBackup({
      async read(into) {
        stop.signal.throwIfAborted();
        if (piece.length === 0) {
          const next = await Promise.race([pieces.next(), ended]);
          if (next.done === true) return null;
          piece = next.value;
          await target.write(piece);
          digest.update(piece);
          done += piece.length;
          say(() => `backup: ${mebibytes(done)} of about ${mebibytes(expected)}`);
        }
        const count = Math.min(into.length, piece.length);
        into.set(piece.subarray(0, count));
        piece = piece.subarray(count);
        return count;
      },
    });
    await target.finish();
    io.stderr(
      [
        ...(io.stderrIsTerminal ? ["\r\x1b[K"] : []),
        `store            ${header.storeId.toHex()}\n`,
        `as of            sequence ${trailer.sequence}, ${trailer.records} records, ${
          new Date(trailer.timeMs).toISOString()
        } by the master's clock\n`,
        `backup           ${out}  ${bytes} bytes, SHA-256 ${digest.digest("hex")}\n`,
        "opens            with a recovery key of this store: `nautilus store restore`\n",
      ].join(""),
    );
    return EXIT.done;
  } catch (error) {
    if (stop.requested) {
      io.stderr("backup: ended; nothing was kept\n");
      return EXIT.interrupted;
    }
    if (!(error instanceof StoreError) || error.code !== "backup_altered") throw error;
    throw new Error(
      `the backup broke off after ${done} bytes: the master's log says why; nothing was kept`,
      { cause: error },
    );
  } finally {
    await pieces.return?.();
  }
}

async function refusal(
  origin: string,
  status: number,
  body: AsyncIterable<Uint8Array>,
): Promise<Error> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of body) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > MAX_REFUSAL_BYTES) break;
  }
  let problem: unknown;
  try {
    problem = JSON.parse(text);
  } catch {
    problem = undefined;
  }
  const field = (name: "detail" | "hint") => {
    const value: unknown = typeof problem === "object" && problem !== null
      ? Reflect.get(problem, name)
      : undefined;
    return typeof value === "string" ? value : undefined;
  };
  const message = `${origin} answered ${status}: ${field("detail") ?? text.slice(0, 500)}`;
  return status === 401 || status === 403 || status === 409
    ? new RecoveryRefused(message, { hint: field("hint") })
    : new Error(message);
}

interface Target extends AsyncDisposable {
  write(bytes: Uint8Array): Promise<void>;
  /** It is whole: from now on it has its name. */
  finish(): Promise<void>;
}

function toStdout(): Target {
  return {
    write: (bytes) => writeAll(Deno.stdout, bytes),
    finish: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/**
 * A backup takes the place of nothing: not of an older one, nor of a device, a pipe or a link.
 * @throws {UsageError}
 */
async function requireFree(path: string): Promise<void> {
  try {
    await Deno.lstat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  throw new UsageError(
    `--out ${path}: something has this name already, and a backup replaces nothing; ` +
      "name a new file, or write to standard output with --out -",
  );
}

/** Beside its name until it is whole and on the medium; gone where it never is. */
async function toFile(path: string): Promise<Target> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  const file = await Deno.open(temporary, { createNew: true, write: true, mode: 0o600 });
  let isOver = false;
  return {
    write: (bytes) => writeAll(file, bytes),
    async finish() {
      await file.sync();
      await Deno.rename(temporary, path);
      isOver = true;
      using folder = await Deno.open(path.replace(/[^/]*$/, "") || ".");
      await folder.sync();
    },
    async [Symbol.asyncDispose]() {
      file.close();
      if (!isOver) await Deno.remove(temporary);
    },
  };
}

async function writeAll(
  target: { write(bytes: Uint8Array): Promise<number> },
  bytes: Uint8Array,
): Promise<void> {
  let rest = bytes;
  while (rest.length > 0) rest = rest.subarray(await target.write(rest));
}
