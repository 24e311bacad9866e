/**
 * Gives memory back that only booting needed (parsing the bundle takes tens of megabytes): the
 * runtime collects garbage and trims its heap on SIGUSR2 where `DENO_USR2_MEMORY_TRIM` is set, as the
 * launcher does (tools/launcher/README.md). Without the variable the signal would end the process.
 */
export function releaseBootMemory(env: Readonly<Record<string, string>>): void {
  if (env["DENO_USR2_MEMORY_TRIM"] === "1") Deno.kill(Deno.pid, "SIGUSR2");
}
