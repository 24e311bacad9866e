/** What benchmarks of FFI bindings share: the same calls from C, the ratio, the event loop meanwhile. */
import { cachedBuild } from "../fakes/c_program.ts";

/** One way to make the same call `calls` times; gives the median, ms. */
export type Calls = (calls: number) => Promise<number>;

/**
 * A C program over tests/fakes/loop.h, which prints the median in nanoseconds.
 * @param source below tests/fakes/
 * @param args before the number of calls
 * @throws {Error} where it cannot be compiled; the calls, where it fails
 */
export async function callsFromC(
  name: string,
  source: string,
  args: readonly string[],
  libraries: readonly string[] = [],
): Promise<Calls> {
  const fakes = new URL("../fakes/", import.meta.url);
  const program = await cachedBuild(name, [new URL(source, fakes), new URL("loop.h", fakes)], [
    "-I.",
    ...libraries,
  ]);
  return async (calls) => {
    const { success, stdout } = await new Deno.Command(program, {
      args: [...args, String(calls)],
    }).output();
    const nanoseconds = Number(new TextDecoder().decode(stdout));
    if (!success || !(nanoseconds > 0)) throw new Error(`${name} failed`);
    return nanoseconds / 1e6;
  };
}

/** The same through the binding; the first tenth warms up. */
export function callsThrough(call: () => Promise<unknown>): Calls {
  return async (calls) => {
    const took: number[] = [];
    const warm = Math.floor(calls / 10) + 1;
    for (let i = -warm; i < calls; i++) {
      const start = performance.now();
      await call();
      if (i >= 0) took.push(performance.now() - start);
    }
    took.sort((a, b) => a - b);
    return took[Math.floor(calls / 2)] ?? NaN;
  };
}

/** How many times as long a call takes through the binding as from C: medians of `calls` of each. */
export async function bindingRatio(calls: number, binding: Calls, fromC: Calls): Promise<number> {
  const inC = await fromC(calls);
  return await binding(calls) / inC;
}

/** How much later than asked a timer of 1 ms fires, ms, 99th percentile, while `busy` runs. */
export async function timerDelayP99(busy: Promise<unknown>): Promise<number> {
  let done = false;
  const end = busy.then(() => {
    done = true;
  });
  const delays: number[] = [];
  while (!done) {
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, 1));
    delays.push(Math.max(0, performance.now() - start - 1));
  }
  await end;
  delays.sort((a, b) => a - b);
  return delays[Math.floor(delays.length * 0.99)] ?? Infinity;
}
