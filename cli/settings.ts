/** From a command's flags and environment to the Config. */
import { type Config, ConfigError, flagName, loadConfig } from "../config.ts";
import { SETTINGS } from "../config_settings.ts";
import type { CommandIo } from "./command.ts";
import { readBoundedText } from "./files/bounded_read.ts";
import { fileReason } from "./files/reason.ts";
import { type Flags, type FlagSpec, parseFlags } from "./flags.ts";

const MAX_CONFIG_BYTES = 1 << 20;
const CONFIG_STRINGS = SETTINGS.filter(({ env, isSwitch }) => env !== undefined && !isSwitch)
  .map(({ field }) => flagName(field));
const CONFIG_SWITCHES = SETTINGS.filter(({ isSwitch }) => isSwitch).map(({ field }) =>
  flagName(field)
);

/** The lines of `--help` that every command with a configuration shares. */
export function settingsHelp(): string {
  const rows = SETTINGS.filter(({ env }) => env !== undefined).map((
    { field, env, help, isSwitch },
  ) => [
    `  --${flagName(field)}${isSwitch ? "" : " VALUE"}`,
    `${env}`,
    help,
  ]);
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const [flags, variables] = [width(0), width(1)];
  return [
    "Settings (flag, environment variable; a flag wins over the variable, both over --config FILE):",
    `  ${"--config FILE".padEnd(flags - 2)}  ${
      "NAUTILUS_CONFIG".padEnd(variables)
    }  JSONC, fields in camelCase`,
    ...rows.map(([flag, env, help]) =>
      `${flag?.padEnd(flags)}  ${env?.padEnd(variables)}  ${help}`
    ),
  ].join("\n");
}

/**
 * Parses flags that are settings together with the command's own.
 * @throws {UsageError | ConfigError}
 */
export async function loadSettings(
  io: CommandIo,
  args: readonly string[],
  own: FlagSpec = {},
): Promise<{ config: Config; flags: Flags }> {
  const flags = parseFlags(args, {
    strings: [...CONFIG_STRINGS, "config", ...(own.strings ?? [])],
    switches: [...CONFIG_SWITCHES, ...(own.switches ?? [])],
    lists: own.lists ?? [],
    positionals: own.positionals ?? [],
  });
  const given: Record<string, unknown> = {};
  for (const { field, isSwitch } of SETTINGS) {
    const name = flagName(field);
    const value = flags.strings[name];
    if (isSwitch && flags.switches.has(name)) given[field] = true;
    if (value !== undefined) given[field] = value;
  }
  const path = flags.strings["config"] ?? io.env["NAUTILUS_CONFIG"];
  const config = loadConfig({
    flags: given,
    env: io.env,
    file: path === undefined ? undefined : { path, text: await readConfigFile(path) },
    isRoot: io.isRoot,
    hostName: io.hostName,
    readFile: (path) => Deno.readTextFileSync(path),
  });
  return { config, flags };
}

async function readConfigFile(path: string): Promise<string> {
  try {
    return await readBoundedText(path, MAX_CONFIG_BYTES);
  } catch (cause) {
    throw new ConfigError(`--config ${path}: ${fileReason(cause)}`, { cause });
  }
}
