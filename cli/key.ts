/** `nautilus key status`. */
import { type Command, EXIT, UsageError } from "./command.ts";
import { withData } from "./offline.ts";
import { settingsHelp } from "./settings.ts";

export const key: Command = {
  name: "key",
  summary: "Show the key ring of a data directory that no master holds.",
  usage: [
    "Usage: nautilus key status [--json] [SETTINGS]",
    "",
    "Ids, states and to whom the key encryption key is wrapped. No key is shown.",
    "",
    settingsHelp(),
  ].join("\n"),
  run(io) {
    const spec = { switches: ["json"], positionals: ["ACTION"] };
    return withData(io, spec, ({ positionals: [action] }) => {
      if (action !== "status") {
        throw new UsageError(`unknown action "${action}"; valid are: status`);
      }
      return "read-only";
    }, ({ store, tee }, { switches }) => {
      const status = store.keyStatus();
      const report = { store_id: store.storeId.toHex(), tee_type: tee.kind, ...status };
      io.stdout(
        switches.has("json") ? JSON.stringify(report, null, 2) + "\n" : [
          `store            ${report.store_id}`,
          `key ring         version ${status.keyringVersion}`,
          ...status.wraps.map((wrap) =>
            `KEK wrapped by   ` +
            (wrap.type === "sealer"
              ? `${tee.kind} sealer, policy ${wrap.policy}`
              : `recovery key ${wrap.recipient.slice(0, 16)}…`)
          ),
          ...status.deks.map(({ id, state }) => `DEK ${String(id).padEnd(12)} ${state}`),
          "",
        ].join("\n"),
      );
      return Promise.resolve(EXIT.done);
    });
  },
};
