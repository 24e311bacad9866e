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

/**
 * Compiles once per version of `inputs` and of the arguments, into the folder for temporary files,
 * and gives the path of the result.
 *
 * @param inputs sources and headers; the first is compiled
 * @throws {Error} with the compiler's words
 */
export async function cachedBuild(
  name: string,
  inputs: readonly URL[],
  args: readonly string[],
): Promise<string> {
  const texts = await Promise.all(inputs.map((input) => Deno.readTextFile(input)));
  const key = new TextEncoder().encode(JSON.stringify([Deno.uid(), args, texts]));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", key)).toHex().slice(0, 16);
  const scratch = await Deno.makeTempDir({ prefix: "nautilus-c-" });
  const path = `${scratch.slice(0, scratch.lastIndexOf("/"))}/nautilus-${name}-${digest}`;
  try {
    if (await isOurs(path)) return path;
    for (const [index, input] of inputs.entries()) {
      const file = input.pathname.slice(input.pathname.lastIndexOf("/") + 1);
      await Deno.writeTextFile(`${scratch}/${file}`, texts[index] ?? "");
    }
    const main = inputs[0]?.pathname.split("/").at(-1) ?? "";
    const { success, stderr } = await new Deno.Command("cc", {
      args: ["-O1", "-Wall", "-Wextra", "-Werror", ...args, "-o", `${scratch}/${name}`, main],
      cwd: scratch,
    }).output();
    if (!success) throw new Error(new TextDecoder().decode(stderr));
    await Deno.rename(`${scratch}/${name}`, path);
    return path;
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
}

/** Whether there is a file at `path` that nobody else could have put there. */
async function isOurs(path: string): Promise<boolean> {
  try {
    const info = await Deno.lstat(path);
    return info.isFile && info.uid === Deno.uid() && ((info.mode ?? 0o777) & 0o022) === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
