/** `nautilus store backup`: the running master's store into a file, or to standard output. */
import { createHash } from "node:crypto";
import { OWN_API_PATHS } from "../../api/k8s/own_paths.ts";
import { STORE_BYTES_HEADER } from "../../api/routes/backup.ts";
import { scanBackup, StoreError } from "../../store/mod.ts";
import { refusal } from "../client/answer.ts";
import type { PinnedStream } from "../client/pinned_stream.ts";
import { MASTER_FLAGS, reachMaster } from "../client/running_master.ts";
import { type CommandIo, EXIT, type ExitCode } from "../command.ts";
import { fileReason } from "../files/reason.ts";
import { refuseExisting, removeFile, syncFolderOf, writeAll } from "../files/written.ts";
import { required } from "../flags.ts";
import { mebibytes, progressLine } from "../progress.ts";
import { loadSettings } from "../settings.ts";
import { type StopSignal, watchStopSignals } from "../stop_signal.ts";

const MAX_REFUSAL_BYTES = 64 << 10;

export async function storeBackup(io: CommandIo): Promise<ExitCode> {
  const { config, flags } = await loadSettings(io, io.args, {
    ...MASTER_FLAGS,
    strings: [...MASTER_FLAGS.strings, "out"],
  });
  const out = required(flags.strings, "out");
  if (out !== "-") await refuseExisting("out", out);
  using stop = watchStopSignals();
  const master = await reachMaster(flags, config.dataDir);
  const answer = await master.stream(OWN_API_PATHS.adminBackup);
  if (answer.status !== 200) {
    throw refusal({ status: answer.status, body: await startOf(answer.body) });
  }
  await using target = out === "-" ? toStdout() : await toFile(out);
  const digest = createHash("sha256");
  let done = 0;
  try {
    const { header, trailer, bytes } = await received(io, answer, stop, async (piece) => {
      await target.write(piece);
      digest.update(piece);
      done += piece.length;
    });
    await target.finish();
    io.stderr(
      [
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
  }
}

/** What arrives is kept, and looked at: a stream that is whole ends with its last chunk. */
async function received(
  io: CommandIo,
  { headers, body }: PinnedStream,
  stop: StopSignal,
  keep: (piece: Uint8Array) => Promise<void>,
): ReturnType<typeof scanBackup> {
  const expected = Number(headers.get(STORE_BYTES_HEADER.toLowerCase()) ?? 0);
  using line = progressLine(io, () => performance.now());
  const pieces = body[Symbol.asyncIterator]();
  let piece: Uint8Array = new Uint8Array(0);
  let done = 0;
  const ended = stop.wait().then(() => {
    throw new Error("asked to stop");
  });
  ended.catch(() => {}); // told where it is raced
  try {
    return await scanBackup({
      async read(into) {
        stop.signal.throwIfAborted();
        if (piece.length === 0) {
          const next = await Promise.race([pieces.next(), ended]);
          if (next.done === true) return null;
          piece = next.value;
          await keep(piece);
          done += piece.length;
          line.show(() => `backup: ${mebibytes(done)} of about ${mebibytes(expected)}`);
        }
        const count = Math.min(into.length, piece.length);
        into.set(piece.subarray(0, count));
        piece = piece.subarray(count);
        return count;
      },
    });
  } finally {
    await pieces.return?.();
  }
}

/** As much of a refusal as is read. */
async function startOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const piece of body) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > MAX_REFUSAL_BYTES) break;
  }
  return text;
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
 * Beside its name until it is whole and on the medium; gone where it never is.
 * @throws {Error} naming the file, also from its methods
 */
export async function toFile(path: string, open = Deno.open): Promise<Target> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  const named = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (cause) {
      throw new Error(`${path} cannot be written: ${fileReason(cause)}; nothing was kept`, {
        cause,
      });
    }
  };
  const file = await named(() => open(temporary, { createNew: true, write: true, mode: 0o600 }));
  let isOver = false;
  return {
    write: (bytes) => named(() => writeAll(file, bytes)),
    finish: () =>
      named(async () => {
        await file.sync();
        await Deno.rename(temporary, path);
        isOver = true;
        await syncFolderOf(path);
      }),
    async [Symbol.asyncDispose]() {
      file.close();
      if (!isOver) await removeFile(temporary);
    },
  };
}
