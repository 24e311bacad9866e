/** Which files the running program consists of, for its measurement. */
import { fileURLToPath } from "node:url";
import type { Program } from "../../backends/simulation/program.ts";
import { programForm } from "../program_form.ts";

/** @throws {TypeError} when the program's own place cannot be told. */
export function runningProgram(): Program {
  // Both built forms are one file that holds runtime and bundle; /proc/self/exe is the one that was
  // started, whatever has its name by now.
  if (programForm() !== "source") return { form: "files", paths: ["/proc/self/exe"] };
  const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
  return { form: "modules", main: `${root}/main.ts`, root };
}
