/** `nautilus serve`: flags, logging and signals of the master; cli/master/ is the master itself. */
import { type Command, EXIT } from "./command.ts";
import { startLogging } from "./logging.ts";
import { runMaster } from "./master/master.ts";
import { REPLAY_HELP, replayDecision } from "./master/replay_events.ts";
import { loadSettings, settingsHelp } from "./settings.ts";
import { watchStopSignals } from "./stop_signal.ts";

export const serve: Command = {
  name: "serve",
  summary: "Run the master.",
  usage: [
    "Usage: nautilus serve [--replay-events skip|apply] [SETTINGS]",
    "",
    ...REPLAY_HELP,
    "",
    settingsHelp(),
  ].join("\n"),
  async run(io) {
    const { config, flags } = await loadSettings(io, io.args, { strings: ["replay-events"] });
    const replayEvents = replayDecision(flags.strings["replay-events"]);
    await using logging = await startLogging({
      level: config.logLevel,
      terminal: io.stderrIsTerminal,
      write: io.stderr,
      fields: { node_id: config.nodeId, tee_mode: config.teeMode },
    });
    using stop = watchStopSignals();
    try {
      await runMaster({ io, config, bootLog: logging.log, stop, replayEvents });
    } catch (error) {
      if (error !== stop.signal.reason) throw error;
      logging.log.info("stopped while it waited for the store's key");
    }
    return EXIT.done;
  },
};
