/** An appraisal policy that a command line names. */
import { BackendError } from "../../backends/mod.ts";
import { parsePolicy, type Policy } from "../../backends/policy/mod.ts";
import { UsageError } from "../command.ts";
import { type FileReader, readOne } from "./evidence.ts";

/** @throws {UsageError} a policy that cannot be read or is not strict */
export async function loadPolicy(io: Pick<FileReader, "readFile">, path: string): Promise<Policy> {
  const bytes = await readOne(io, path);
  try {
    return parsePolicy(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    if (error instanceof BackendError || error instanceof TypeError) {
      throw new UsageError(`${path}: ${error.message}`);
    }
    throw error;
  }
}
