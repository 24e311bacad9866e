/** How this program was put together (tools/launcher/README.md). */
export type ProgramForm = "compiled" | "launcher" | "source";

/** Told by what the runtime says, never by the environment, which the host sets. */
export function programForm(): ProgramForm {
  if (Deno.build.standalone) return "compiled";
  return import.meta.url.startsWith("file:///proc/self/fd/") ? "launcher" : "source";
}

/**
 * How another process starts this program again: the absolute path of its file as it was started,
 * and what comes before its own arguments (from source, those of the runtime).
 */
export function programCommand(): { readonly command: string; readonly args: readonly string[] } {
  const command = Deno.execPath();
  if (programForm() !== "source") return { command, args: [] };
  return { command, args: ["run", "--allow-all", new URL("../main.ts", import.meta.url).pathname] };
}
