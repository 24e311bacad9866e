/**
 * `code_cache.ts SCRIPT CACHE`: V8's code cache of a script, taken before any of it has run. Run by
 * build.ts in a process of its own, without a code cache, and all in one synchronous go: then the same
 * script gives the same bytes, and the built file the same measurement, whatever else the machine
 * does. `--check` instead fails where V8 does not take the cache.
 */
import { Script } from "node:vm";

const [script, cache, mode] = Deno.args;
if (script === undefined || cache === undefined) {
  throw new TypeError("usage: SCRIPT CACHE [--check]");
}
const source = Deno.readTextFileSync(script);
const filename = "nautilus.js";
if (mode === "--check") {
  const cachedData = Deno.readFileSync(cache);
  const { cachedDataRejected } = new Script(source, { filename, cachedData });
  if (cachedDataRejected !== false) throw new Error("V8 does not take its own code cache");
} else {
  Deno.writeFileSync(cache, new Script(source, { filename }).createCachedData());
}
