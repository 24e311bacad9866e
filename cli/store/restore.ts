/**
 * `nautilus store restore`: a backup comes to life on this TEE. Everything in it is checked before
 * anything is replaced, the operator's recovery key is asked, and what stood there is kept.
 */
import type { Bytes } from "../../backends/mod.ts";
import {
  type BackupHeader,
  BackupReader,
  hasAllOf,
  recoveryRecipients,
  type RestoredStore,
  restoreStore,
  scanBackup,
  selectAead,
  type StandingStore,
  standingStore,
  StoreError,
} from "../../store/mod.ts";
import type { Config } from "../../config.ts";
import { type CommandIo, EXIT, type ExitCode, Refused, UsageError } from "../command.ts";
import { openHost, type OpenNodeOptions } from "../node/host.ts";
import { withNodeOptions } from "../node/offline.ts";
import { mebibytes, progressLine } from "../progress.ts";
import { fileReason } from "../files/reason.ts";
import { required } from "../flags.ts";
import {
  beginRestore,
  commitRestore,
  discardRestore,
  finishRestore,
} from "../node/restore_swap.ts";
import { removeFile } from "../files/written.ts";
import { loadSettings } from "../settings.ts";
import { type StopSignal, watchStopSignals } from "../stop_signal.ts";
import { sealingOf } from "../node/sealing.ts";
import { systemRandom } from "../random.ts";
import { awaitAnswer } from "../node/unlock.ts";

interface Job {
  readonly io: CommandIo;
  readonly config: Config;
  readonly from: string;
  readonly paths: { readonly request: string; readonly answer: string };
  /** What may be lost, as an earlier refusal named it. */
  readonly replace: string | undefined;
  readonly stop: StopSignal;
}

export async function storeRestore(io: CommandIo): Promise<ExitCode> {
  const { config, flags: { strings } } = await loadSettings(io, io.args, {
    strings: ["from", "request", "answer", "replace"],
  });
  using stop = watchStopSignals();
  const from = required(strings, "from");
  const paths = { request: required(strings, "request"), answer: required(strings, "answer") };
  const job = { io, config, from, paths, replace: strings["replace"], stop };
  const scanned = await scan(job);
  return await withNodeOptions(io, config, "create-or-open", async (options) => {
    try {
      return await restore(job, scanned, { ...options, newDevice: true });
    } catch (error) {
      if (!stop.requested) throw error;
      io.stderr("restore: ended; nothing was replaced\n");
      return EXIT.interrupted;
    } finally {
      await removeFile(paths.request);
    }
  });
}

interface Scanned {
  readonly header: BackupHeader;
  /** As the backup says of itself. */
  readonly sequence: number;
}

/** Whether the file is whole, before anybody is asked for anything. */
async function scan({ io, from }: Job): Promise<Scanned> {
  using file = await open(from);
  const { header, trailer, bytes } = await scanBackup(file).catch((error: unknown) => {
    if (!(error instanceof StoreError)) throw error;
    throw new StoreError(
      error.code,
      `${from}: ${error.message}`,
      error.hint === undefined ? {} : { hint: error.hint },
    );
  });
  const recipients = recoveryRecipients(header.keyring);
  if (recipients.length === 0) {
    throw new Refused(`${from} was made without a recovery key: nobody can restore it`);
  }
  io.stdout(
    [
      `backup           ${from}: ${bytes} bytes, whole`,
      `store            ${header.storeId.toHex()}`,
      `as of            sequence ${trailer.sequence}, ${trailer.records} records, ${
        new Date(trailer.timeMs).toISOString()
      } by its master's clock`,
      ...recipients.map((recipient) => `recovery key     ${recipient}`),
      "",
    ].join("\n"),
  );
  return { header, sequence: trailer.sequence };
}

async function restore(
  job: Job,
  { header, sequence }: Scanned,
  options: OpenNodeOptions,
): Promise<ExitCode> {
  const { io, config, paths, stop } = job;
  await using host = await openHost(options);
  const { tee, log } = host;
  const sealing = sealingOf(tee, config);
  const { provider: aead } = selectAead();
  // What this TEE can tell by itself, before the operator is asked for anything.
  const before = await standingStore(log, aead, {
    sealer: sealing.sealer,
    storeId: header.storeId,
  });
  refuseLoss(job, before, sequence, (head) => head.sequence <= sequence);
  io.stdout(
    [
      `TEE              ${tee.kind}, measurement ${(await tee.measurement()).toHex()}`,
      `request          ${paths.request}  (holds no secret; for the operator)`,
      "",
      "Waiting for the operator's offline machine:",
      `  nautilus key rewrap --request FILE --key recovery.key --policy POLICY --out ANSWER`,
      `and its answer in ${paths.answer}`,
      "",
    ].join("\n"),
  );
  const { keyring } = header;
  const { kek } = await awaitAnswer({
    tee,
    keyring,
    paths,
    log: options.log,
    stopped: stop.signal,
  });
  let restored: RestoredStore;
  try {
    const whole = restored = await fill(job, header, kek, sealing);
    const standing = await standingStore(log, aead, { kek });
    refuseLoss(job, standing, whole.sequence, (head) => hasAllOf(whole, head));
  } catch (error) {
    await discardRestore(config.dataDir);
    throw error;
  } finally {
    kek.fill(0);
    await removeFile(paths.answer);
  }
  await commitRestore(config.dataDir);
  await log[Symbol.asyncDispose]();
  const former = await finishRestore(config.dataDir, config.anchorFile, Date.now());
  io.stdout(
    [
      `restored         ${restored.records} records, sequence ${restored.sequence}, etcd revision ${restored.revisions.etcd}`,
      `sealed to        ${tee.kind}; recovery keys stay`,
      ...(former === undefined
        ? []
        : [`former store     ${former}  (kept; remove it when you are sure)`]),
      "new              identity, TLS, session and admin keys: every session and token has ended",
      "",
      "Start it with `nautilus serve`. Requests of the chain that came after this backup may have been",
      "executed before: none is, until `serve --replay-events=skip` or `=apply` says what to do.",
      "The master that was must never start again.",
      "",
    ].join("\n"),
  );
  return EXIT.done;
}

async function fill(
  { io, config, from, stop }: Job,
  header: BackupHeader,
  kek: Bytes,
  sealing: Pick<Parameters<typeof restoreStore>[0], "sealer" | "sealPolicy">,
): Promise<RestoredStore> {
  using file = await open(from);
  const { size } = await file.stat();
  const reader = new BackupReader(file);
  const found = await reader.header();
  if (found.salt.toHex() !== header.salt.toHex()) {
    throw new StoreError("backup_altered", `${from} is another file than it was`);
  }
  const path = await beginRestore(config.dataDir);
  using line = progressLine(io, () => performance.now());
  return await restoreStore({
    reader,
    header: found,
    kek,
    path,
    aead: selectAead().provider,
    ...sealing,
    clock: Date.now,
    random: systemRandom,
    onProgress({ bytes, checked }) {
      stop.signal.throwIfAborted();
      line.show(() =>
        checked === 0
          ? `restore: ${mebibytes(bytes)} of ${mebibytes(size)} read`
          : `restore: ${checked} records checked`
      );
    },
  });
}

/**
 * @param sequence of the backup
 * @param isIn whether all that the store had at this head is in the backup
 * @throws {Refused} where something would be lost that nobody named
 */
function refuseLoss(
  { config, replace }: Job,
  standing: StandingStore,
  sequence: number | bigint,
  isIn: (head: Extract<StandingStore, { kind: "same" }>["head"]) => boolean,
): void {
  const refuse = (what: string, name: string): void => {
    if (replace === name) return;
    throw new Refused(`${config.dataDir} ${what}`, {
      hint: replace === undefined
        ? `if it may be replaced, say so: --replace ${name} (it is kept beside the restored one)`
        : `--replace ${replace} names something else; the right name is --replace ${name}`,
    });
  };
  switch (standing.kind) {
    case "none":
    case "sealed": // the operator's answer opens it, and it is looked at again
      return;
    case "same": {
      const { head } = standing;
      if (isIn(head)) return;
      return refuse(
        `holds this store at sequence ${head.sequence} (etcd revision ${
          head.revisions[2]
        }), with ` +
          `what the backup at sequence ${sequence} does not have`,
        String(head.sequence),
      );
    }
    case "other":
      return refuse(`holds another store, ${standing.storeId.toHex()}`, standing.storeId.toHex());
    case "unreadable":
      return refuse(`holds a store that cannot be read: ${standing.reason}`, "unreadable");
  }
}

async function open(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { read: true });
  } catch (cause) {
    throw new UsageError(`--from ${path}: ${fileReason(cause)}`, { cause });
  }
}
