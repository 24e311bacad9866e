/** `nautilus key rotate`: asks the running master for a new data key, and watches the rest. */
import { AdminRefused, decoded } from "../client/login.ts";
import { type CommandIo, EXIT, type ExitCode } from "../command.ts";
import { KEYS, type KeysAnswer, ROTATION, rotationText } from "./answers.ts";
import { MASTER_FLAGS, reachMaster, type RunningMaster } from "../client/running_master.ts";
import { loadSettings } from "../settings.ts";
import { WrongPeer } from "../client/pinned_request.ts";

const POLL_MS = 500;
/** Where the line cannot be written over: one every so often. */
const LINE_EVERY_MS = 10_000;
/** A master that restarts goes on by itself. */
const PATIENCE_MS = 60_000;

export async function keyRotate(io: CommandIo): Promise<ExitCode> {
  const { config, flags } = await loadSettings(io, io.args, {
    strings: MASTER_FLAGS,
    switches: ["detach"],
  });
  try {
    const master = await reachMaster(flags.strings, config.dataDir);
    const begun = decoded(ROTATION, await master.send("POST", "/api/v1/admin/keys/rotate"));
    io.stderr(
      `Data key ${begun.active_key} is in use; older records are sealed anew under it, in the master.\n`,
    );
    if (flags.switches.has("detach")) {
      io.stderr("`nautilus key rotate` again shows how far it is; a restart goes on.\n");
      return EXIT.done;
    }
    return await watch(io, master, begun.active_key);
  } catch (error) {
    if (!(error instanceof AdminRefused) && !(error instanceof WrongPeer)) throw error;
    io.stderr(`nautilus key rotate: ${error.message}\n`);
    return EXIT.no;
  }
}

/** Until no older data key is left. Ending the command ends nothing in the master. */
async function watch(io: CommandIo, master: RunningMaster, key: number): Promise<ExitCode> {
  using interrupted = onInterrupt();
  const line = progressLine(io);
  let answeredAt = performance.now();
  for (;;) {
    const keys = await ask(master);
    if (keys === undefined) {
      if (performance.now() - answeredAt > PATIENCE_MS) {
        throw new Error(
          `${master.origin} does not answer any more; the rotation goes on when the master runs again`,
        );
      }
      line.show("the master does not answer; its next start goes on with the rotation");
    } else {
      answeredAt = performance.now();
      if (isOver(keys, key)) {
        line.end();
        io.stdout(
          `Every record is sealed under data key ${keys.rotation.active_key}; ` +
            "the former keys are destroyed.\n",
        );
        return EXIT.done;
      }
      line.show(rotationText(keys.rotation));
    }
    if (await interrupted.within(POLL_MS)) {
      line.end();
      io.stderr("The rotation goes on in the master; the same command shows how far it is.\n");
      return EXIT.interrupted;
    }
  }
}

function isOver({ data_keys: keys, rotation }: KeysAnswer, key: number): boolean {
  return rotation.active_key >= key && keys.every(({ state }) => state === "active");
}

/** Undefined where nobody answers now. @throws {AdminRefused | WrongPeer} */
async function ask(master: RunningMaster): Promise<KeysAnswer | undefined> {
  try {
    return decoded(KEYS, await master.send("GET", "/api/v1/admin/keys"));
  } catch (error) {
    if (error instanceof AdminRefused || error instanceof WrongPeer) throw error;
    return undefined;
  }
}

function progressLine(io: CommandIo): { show(text: string): void; end(): void } {
  let shownAt = -Infinity;
  let length = 0;
  return {
    show(text) {
      if (io.stderrIsTerminal) {
        io.stderr(`\r${text.padEnd(length)}`);
        length = text.length;
      } else if (performance.now() - shownAt >= LINE_EVERY_MS) {
        shownAt = performance.now();
        io.stderr(text + "\n");
      }
    },
    end() {
      if (length > 0) io.stderr("\n");
      length = 0;
    },
  };
}

interface Interrupt extends Disposable {
  /** Waits; true as soon as the user has had enough. */
  within(ms: number): Promise<boolean>;
}

function onInterrupt(): Interrupt {
  const asked = Promise.withResolvers<true>();
  const listener = (): void => asked.resolve(true);
  Deno.addSignalListener("SIGINT", listener);
  return {
    async within(ms) {
      const waited = Promise.withResolvers<false>();
      const timer = setTimeout(() => waited.resolve(false), ms);
      try {
        return await Promise.race([asked.promise, waited.promise]);
      } finally {
        clearTimeout(timer);
      }
    },
    [Symbol.dispose]: () => Deno.removeSignalListener("SIGINT", listener),
  };
}
