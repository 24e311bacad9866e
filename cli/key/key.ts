/** `nautilus key`: the key ring, and recovery on another machine (docs/KEYS.md). */
import { type Actions, runAction } from "../actions.ts";
import type { Command } from "../command.ts";
import { MASTER_HELP } from "../client/running_master.ts";
import { settingsHelp } from "../settings.ts";

const ACTIONS: Actions = {
  status: async () => (await import("./status.ts")).keyStatus,
  rotate: async () => (await import("./rotate.ts")).keyRotate,
  reseal: async () => (await import("./reseal.ts")).keyReseal,
  "recovery-init": async () => (await import("./recovery/init.ts")).recoveryInit,
  "recovery-request": async () => (await import("./recovery/request.ts")).recoveryRequest,
  rewrap: async () => (await import("./recovery/rewrap.ts")).recoveryRewrap,
  "recovery-accept": async () => (await import("./recovery/accept.ts")).recoveryAccept,
};

export const key: Command = {
  name: "key",
  summary: "Show and rotate the master's keys; bring its store back on another machine.",
  usage: [
    "Usage: nautilus key status [--json] [--master URL --key FILE TRUST] [SETTINGS]",
    "       nautilus key rotate [--detach] [--master URL --key FILE TRUST] [SETTINGS]",
    "       nautilus key reseal --measurement HEX | --withdraw [--master URL --key FILE TRUST] [SETTINGS]",
    "       nautilus key recovery-init --out DIR",
    "       nautilus key recovery-request --out FILE [SETTINGS]",
    "       nautilus key rewrap --request FILE --key FILE --policy POLICY --out FILE",
    "                           [--endorsements FILE…] [--collateral DIR|FILE…] [--accept-lost-anchor]",
    "       nautilus key recovery-accept --in FILE [SETTINGS]",
    "",
    "status            ids, states, uses and to whom the key encryption key is wrapped; no key is",
    "                  shown. Of the running master, or of a stopped one's data directory",
    "rotate            running master: a new data key; every record is sealed anew under it while the",
    "                  master works, then the former keys are destroyed. Interrupting the command",
    "                  ends nothing, nor does a restart of the master",
    "reseal            running master, before an upgrade: the build with this measurement may open the",
    "                  store next, on this machine, and then this one no more. The attestation says so",
    "recovery-init     operator, offline: makes recovery.key (0600; never on a master's machine)",
    "                  and recovery.pub (for --recovery-key), prints the fingerprint",
    "recovery-request  new host, the data directory in place: evidence of its TEE, bound to a key",
    "                  that only this TEE can use",
    "rewrap            operator, offline: appraises that evidence by POLICY; only what is affirmed",
    "                  gets the store's key. Make the policy beforehand, from a build you trust,",
    "                  not from the request. --accept-lost-anchor: the store had an anchor, which is",
    "                  gone, and may open without it; an older copy could then not be told",
    "recovery-accept   new host: opens the store, seals it to this TEE, drops the old TEE's seal.",
    "                  Identity, TLS, session and admin keys are new, and all sessions and tokens end",
    "",
    "Exit code 0: done; 1: refused (evidence, key or answer); 2: usage, or a file that cannot be used;",
    "3: no TEE, no store, disk.",
    "",
    ...MASTER_HELP,
    "",
    settingsHelp(),
  ].join("\n"),
  actions: Object.keys(ACTIONS),
  run: (io) => runAction(ACTIONS, io),
};
