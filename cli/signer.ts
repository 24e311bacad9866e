/**
 * `nautilus signer`: who writes results of chain requests on chain, what it holds and what it lacks;
 * of the running master, or of the data directory of a stopped one.
 */
import * as v from "valibot";
import { countWaiting, readSignerSeed } from "../api/result_outbox.ts";
import { type Store, StoreError } from "../store/mod.ts";
import { signerAddress } from "../sui/result_signer.ts";
import { type Actions, runAction } from "./actions.ts";
import { decoded } from "./client/answer.ts";
import { MASTER_FLAGS, MASTER_HELP, namesMaster, reachMaster } from "./client/running_master.ts";
import { type Command, type CommandIo, EXIT, type ExitCode, Refused } from "./command.ts";
import type { Flags } from "./flags.ts";
import { withData } from "./node/offline.ts";
import { decodeSealed, SEALED_CONFIG_KEY } from "./node/sealed_config.ts";
import { BootError } from "./node/steps.ts";
import { loadSettings } from "./settings.ts";

const USAGE = [
  "Usage: nautilus signer address [MASTER | SETTINGS]",
  "       nautilus signer status [--json] [MASTER | SETTINGS]",
  "",
  "The signer writes results of the chain's requests on chain (NAUTILUS_SUI_MASTER_CAP). Its key is",
  "made at the first start with that setting and never leaves the sealed store.",
  "",
  "address     prints its address, to send it the MasterCap and SUI for gas",
  "status      and what it holds, what a result may cost, what waits; --json as the master says it",
  "",
  "Without MASTER: of the data directory, or of the master that holds it.",
  ...MASTER_HELP,
  "",
  "Exit code 0: done; 1: there is no signer, or the master refuses; 2: usage; 3: the master or the",
  "data directory cannot be reached.",
].join("\n");

const ACTIONS: Actions = { address: () => address, status: () => status };

export const signer: Command = {
  name: "signer",
  summary: "Who writes results on chain, what it holds and what it lacks.",
  usage: USAGE,
  actions: Object.keys(ACTIONS),
  run: (io) => runAction(ACTIONS, io),
};

const count = v.nullable(v.pipe(v.number(), v.safeInteger(), v.minValue(0)));
const mist = v.nullable(v.pipe(v.string(), v.regex(/^\d{1,20}$/)));
const SIGNER = v.object({
  address: v.nullable(v.string()),
  state: v.picklist(["off", "on", "failing", "held", "stopped"]),
  detail: v.string(),
  master_cap: v.nullable(v.string()),
  balance_mist: mist,
  gas_budget_mist: mist,
  waiting: count,
  written: count,
  answered: count,
  given_up: count,
  failures: count,
});
export type SignerAnswer = v.InferOutput<typeof SIGNER>;

async function address(io: CommandIo): Promise<ExitCode> {
  const found = await look(io, []);
  if (found.answer.address === null) throw noSigner();
  io.stdout(`${found.answer.address}\n`);
  return EXIT.done;
}

async function status(io: CommandIo): Promise<ExitCode> {
  const { answer, flags } = await look(io, ["json"]);
  if (flags.switches.has("json")) io.stdout(JSON.stringify(answer, null, 2) + "\n");
  else if (answer.address === null) throw noSigner();
  else io.stdout(signerText(answer));
  return EXIT.done;
}

/** @throws what opening the data directory or asking the master throws */
async function look(
  io: CommandIo,
  switches: readonly string[],
): Promise<{ readonly answer: SignerAnswer; readonly flags: Flags }> {
  const spec = { ...MASTER_FLAGS, switches };
  const { config, flags } = await loadSettings(io, io.args, spec);
  if (!namesMaster(flags)) {
    try {
      const answer = await withData(io, spec, () => "read-only", ({ store }) => stopped(store));
      return { answer, flags };
    } catch (error) {
      // The master that holds it is asked instead.
      const isHeld = error instanceof BootError && error.cause instanceof StoreError &&
        error.cause.code === "locked";
      if (!isHeld) throw error;
    }
  }
  const master = await reachMaster(flags, config.dataDir);
  return { answer: decoded(SIGNER, await master.send("GET", "/api/v1/admin/signer")), flags };
}

/** What a store says of the signer while nothing runs. */
export async function stopped(store: Store): Promise<SignerAnswer> {
  const [kv] = (await store.range("system", { key: SEALED_CONFIG_KEY })).kvs;
  const sealed = kv === undefined ? undefined : decodeSealed(kv.value);
  const seed = await readSignerSeed(store);
  const isOn = sealed !== undefined && sealed.suiMasterCap !== null;
  return {
    address: seed === undefined ? null : await signerAddress(seed),
    state: "stopped",
    detail: "the master does not run: cap and gas are looked at while it does",
    master_cap: sealed?.suiMasterCap ?? null,
    balance_mist: null,
    gas_budget_mist: isOn ? sealed.suiGasBudgetMist : null,
    waiting: await countWaiting(store),
    written: null,
    answered: null,
    given_up: null,
    failures: null,
  };
}

/** For people. */
export function signerText(answer: SignerAnswer): string {
  const { balance_mist: balance, gas_budget_mist: budget } = answer;
  const last = balance === null || budget === null || budget === "0"
    ? ""
    : `; enough for ${BigInt(balance) / BigInt(budget)} results at the most that each may cost`;
  const since = answer.written === null
    ? ""
    : `, ${answer.written} written, ${answer.answered} answered by others, ` +
      `${answer.given_up} given up since the start`;
  return [
    `signer     ${answer.address}`,
    `state      ${answer.state}: ${answer.detail}`,
    `MasterCap  ${answer.master_cap ?? "none is set"}`,
    `gas        ${balance === null ? "not looked at yet" : `${sui(balance)} held`}${
      budget === null ? "" : `, ${sui(budget)} budgeted for a result`
    }${last}`,
    `results    ${answer.waiting} wait${since}`,
    "",
  ].join("\n");
}

/** MIST as SUI, to the last digit. */
function sui(amount: string): string {
  const digits = amount.padStart(10, "0");
  const fraction = digits.slice(-9).replace(/0+$/, "");
  return `${digits.slice(0, -9)}${fraction === "" ? "" : `.${fraction}`} SUI`;
}

function noSigner(): Refused {
  return new Refused("there is no signer: results are not written back on chain here", {
    hint: "set NAUTILUS_SUI_MASTER_CAP and start the master (docs/OPERATIONS.md)",
  });
}
