/** Small C programs in tests: what a header says, asked of the compiler. */

async function compile(source: string, folder: string): Promise<string | Error> {
  await Deno.writeTextFile(`${folder}/main.c`, source);
  const { success, stderr } = await new Deno.Command("cc", {
    args: ["-Wall", "-Werror", "-o", `${folder}/main`, `${folder}/main.c`],
  }).output();
  return success ? `${folder}/main` : new Error(new TextDecoder().decode(stderr));
}

async function inFolder<T>(job: (folder: string) => Promise<T>): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "nautilus-c-" });
  try {
    return await job(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Why programs with these headers cannot be compiled here; undefined: they can. */
export async function compilerUnavailable(
  headers: readonly string[],
): Promise<string | undefined> {
  try {
    await new Deno.Command("cc", { args: ["--version"] }).output();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "no C compiler";
    throw error;
  }
  const includes = headers.map((header) => `#include <${header}>\n`).join("");
  const result = await inFolder((folder) =>
    compile(`${includes}int main(void){return 0;}`, folder)
  );
  return result instanceof Error ? `no ${headers.join(", ")}` : undefined;
}

/** The standard output of the program. @throws {Error} with the compiler's words */
export function compileAndRun(source: string): Promise<string> {
  return inFolder(async (folder) => {
    const program = await compile(source, folder);
    if (program instanceof Error) throw program;
    const { success, stdout } = await new Deno.Command(program).output();
    if (!success) throw new Error("the program failed");
    return new TextDecoder().decode(stdout);
  });
}
