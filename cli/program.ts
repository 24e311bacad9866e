/** Which files the running program consists of, for its measurement. */
import { fileURLToPath } from "node:url";
import type { Program } from "../backends/simulation/program.ts";

/** @throws {TypeError} when the program's own place cannot be told. */
export function runningProgram(): Program {
  // Both forms of the built binary are one file that holds runtime and bundle
  // (tools/launcher/README.md); /proc/self/exe is what was started, whatever has its name by now.
  const fromLauncher = import.meta.url.startsWith("file:///proc/self/fd/");
  if (Deno.build.standalone || fromLauncher) return { form: "files", paths: ["/proc/self/exe"] };
  const root = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");
  return { form: "modules", main: `${root}/main.ts`, root };
}
