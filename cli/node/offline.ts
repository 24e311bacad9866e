/** Commands on a data directory that no master holds: settings, quiet logs, an opened store. */
import { type Config, ConfigError } from "../../config.ts";
import type { CommandIo } from "../command.ts";
import type { Flags, FlagSpec } from "../flags.ts";
import { startLogging } from "../logging.ts";
import { type OpenData, openData } from "./data.ts";
import type { OpenNodeOptions } from "./host.ts";
import { loadSettings } from "../settings.ts";
import { createSteps } from "./steps.ts";

/** Standard output is the command's; the log speaks up from warnings on, unless asked for more. */
export async function withNodeOptions<T>(
  io: CommandIo,
  config: Config,
  mode: OpenNodeOptions["mode"],
  use: (options: OpenNodeOptions) => Promise<T>,
): Promise<T> {
  await using logging = await startLogging({
    level: config.given.has("logLevel") ? config.logLevel : "warn",
    terminal: io.stderrIsTerminal,
    write: io.stderr,
    fields: { node_id: config.nodeId },
  });
  const { log } = logging;
  const step = createSteps(log, () => performance.now(), (error) => error instanceof ConfigError);
  const { spawnWorker, hardware } = io;
  return await use({ config, log, step, spawnWorker, hardware, mode });
}

/**
 * Opens the data directory named by the settings, hands it over, closes it.
 * What the store holds is shown to whoever may start the program in the simulation only.
 */
export async function withData<T>(
  io: CommandIo,
  spec: FlagSpec,
  mode: (flags: Flags) => "open" | "read-only",
  use: (data: OpenData, flags: Flags) => Promise<T>,
): Promise<T> {
  const { config, flags } = await loadSettings(io, io.args, spec);
  return await withNodeOptions(io, config, mode(flags), async (options) => {
    await using data = await openData(options);
    return await use(data, flags);
  });
}
