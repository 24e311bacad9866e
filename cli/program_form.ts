/** How this program was put together (tools/launcher/README.md). */
export type ProgramForm = "compiled" | "launcher" | "source";

/** Told by what the runtime says, never by the environment, which the host sets. */
export function programForm(): ProgramForm {
  if (Deno.build.standalone) return "compiled";
  return import.meta.url.startsWith("file:///proc/self/fd/") ? "launcher" : "source";
}
