// @ts-types="./cli_parse_args.d.ts"
export { parseArgs } from "deno-std/cli/parse_args.js";
export type { ParsedArgs, ParseOptions } from "./cli_parse_args.d.ts";
