/** `nautilus key status`. */
import { type CommandIo, EXIT, type ExitCode } from "./command.ts";
import { withData } from "./offline.ts";

export async function keyStatus(io: CommandIo): Promise<ExitCode> {
  const spec = { switches: ["json"] };
  return await withData(io, spec, () => "read-only", ({ store, tee }, { switches }) => {
    const status = store.keyStatus();
    const report = { store_id: store.storeId.toHex(), tee_type: tee.kind, ...status };
    const isRecoverable = status.wraps.some(({ type }) => type === "recovery");
    io.stdout(
      switches.has("json") ? JSON.stringify(report, null, 2) + "\n" : [
        `store            ${report.store_id}`,
        `key ring         version ${status.keyringVersion}`,
        ...status.wraps.map((wrap) =>
          `KEK wrapped by   ` +
          (wrap.type === "sealer"
            ? `${tee.kind} sealer, policy ${wrap.policy}`
            : `recovery key ${wrap.recipient}`)
        ),
        ...(isRecoverable
          ? []
          : ["recovery         none: without this TEE the store cannot be opened again"]),
        ...status.deks.map(({ id, state }) => `DEK ${String(id).padEnd(12)} ${state}`),
        "",
      ].join("\n"),
    );
    return Promise.resolve(EXIT.done);
  });
}
