/** `nautilus key rotate`: asks the running master for a new data key, and watches the rest. */
import { decoded } from "../client/answer.ts";
import { type CommandIo, EXIT, type ExitCode, Refused } from "../command.ts";
import { KEYS, type KeysAnswer, ROTATION, rotationText } from "./answers.ts";
import { MASTER_FLAGS, reachMaster, type RunningMaster } from "../client/running_master.ts";
import { progressLine } from "../progress.ts";
import { loadSettings } from "../settings.ts";
import { watchStopSignals } from "../stop_signal.ts";

const POLL_MS = 500;
/** A master that restarts goes on by itself. */
const PATIENCE_MS = 60_000;

export async function keyRotate(io: CommandIo): Promise<ExitCode> {
  const { config, flags } = await loadSettings(io, io.args, {
    ...MASTER_FLAGS,
    switches: ["detach"],
  });
  const master = await reachMaster(flags, config.dataDir);
  const begun = decoded(ROTATION, await master.send("POST", "/api/v1/admin/keys/rotate"));
  io.stderr(
    `Data key ${begun.active_key} is in use; older records are sealed anew under it, in the master.\n`,
  );
  if (flags.switches.has("detach")) {
    io.stderr("`nautilus key rotate` again shows how far it is; a restart goes on.\n");
    return EXIT.done;
  }
  return await watch(io, master, begun.active_key);
}

/** Until no older data key is left. Ending the command ends nothing in the master. */
async function watch(io: CommandIo, master: RunningMaster, key: number): Promise<ExitCode> {
  using stop = watchStopSignals();
  using line = progressLine(io, () => performance.now(), true);
  let answeredAt = performance.now();
  for (;;) {
    const keys = await ask(master);
    if (keys === undefined) {
      if (performance.now() - answeredAt > PATIENCE_MS) {
        throw new Error(
          `${master.origin} does not answer any more; the rotation goes on when the master runs again`,
        );
      }
      line.show(() => "the master does not answer; its next start goes on with the rotation");
    } else {
      answeredAt = performance.now();
      if (isOver(keys, key)) {
        line[Symbol.dispose]();
        io.stdout(
          `Every record is sealed under data key ${keys.rotation.active_key}; ` +
            "the former keys are destroyed.\n",
        );
        return EXIT.done;
      }
      line.show(() => rotationText(keys.rotation));
    }
    if (await stop.within(POLL_MS)) {
      line[Symbol.dispose]();
      io.stderr("The rotation goes on in the master; the same command shows how far it is.\n");
      return EXIT.interrupted;
    }
  }
}

function isOver({ data_keys: keys, rotation }: KeysAnswer, key: number): boolean {
  return rotation.active_key >= key && keys.every(({ state }) => state === "active");
}

/** Undefined where nobody answers now. @throws {Refused} */
async function ask(master: RunningMaster): Promise<KeysAnswer | undefined> {
  try {
    return decoded(KEYS, await master.send("GET", "/api/v1/admin/keys"));
  } catch (error) {
    if (error instanceof Refused) throw error;
    return undefined;
  }
}
