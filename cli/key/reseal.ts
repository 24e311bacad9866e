/** `nautilus key reseal`: lets the next build open the store after an upgrade, or no more. */
import { decoded } from "../client/answer.ts";
import { type CommandIo, EXIT, type ExitCode, UsageError } from "../command.ts";
import { KEYS } from "./answers.ts";
import { MASTER_FLAGS, reachMaster } from "../client/running_master.ts";
import { loadSettings } from "../settings.ts";

export async function keyReseal(io: CommandIo): Promise<ExitCode> {
  const { config, flags } = await loadSettings(io, io.args, {
    ...MASTER_FLAGS,
    strings: [...MASTER_FLAGS.strings, "measurement"],
    switches: ["withdraw"],
  });
  const measurement = flags.strings["measurement"]?.toLowerCase();
  const withdraw = flags.switches.has("withdraw");
  if (withdraw === (measurement !== undefined)) {
    throw new UsageError("--measurement HEX of the successor, or --withdraw, is wanted");
  }
  if (measurement !== undefined && !/^(?:[0-9a-f]{2}){16,64}$/.test(measurement)) {
    throw new UsageError(`--measurement "${measurement}": hex of 16 to 64 bytes is wanted`);
  }
  const master = await reachMaster(flags, config.dataDir);
  const answer = measurement === undefined
    ? await master.send("POST", "/api/v1/admin/keys/withdraw")
    : await master.send("POST", "/api/v1/admin/keys/reseal", { measurement });
  decoded(KEYS, answer);
  io.stdout(
    measurement === undefined
      ? "Withdrawn. A copy of the data directory made before still lets the successor in.\n"
      : [
        `Program ${measurement} may open this store now, on this machine.`,
        "The attestation says so, and policies that do not list it under node.successors warn.",
        "Stop this master and start the new build on the data directory: its first start seals the",
        "store to itself, and the program of today opens it no more. `--withdraw` takes it back.",
        "",
      ].join("\n"),
  );
  return EXIT.done;
}
