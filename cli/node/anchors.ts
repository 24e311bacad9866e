/** What tells a rollback of this node's store, and what it is worth. */
import type { TeeBackend } from "../../backends/mod.ts";
import { type Config, ConfigError } from "../../config.ts";
import { type AnchorOptions, fileAnchor } from "../../store/mod.ts";

/**
 * The TEE's counter where it has one, and a file on another medium. What lies in the data directory
 * is checked, too, but goes back with it: it counts as no protection.
 * @throws {ConfigError} where the host's word would let go of an anchor
 */
export function anchorsOf(
  { kind, counter }: Pick<TeeBackend, "kind" | "counter">,
  config: Pick<Config, "acceptLostAnchor" | "anchorFile" | "dataDir">,
): AnchorOptions {
  if (config.acceptLostAnchor && kind !== "SIMULATION") {
    throw new ConfigError(
      "--accept-lost-anchor: whoever starts the program could hide a rollback with it, so here only " +
        "the operator's recovery key lets an anchor go (`nautilus key rewrap --accept-lost-anchor`)",
    );
  }
  const { anchorFile, dataDir } = config;
  return {
    // The simulation's counter is a file beside the store.
    ...(counter === undefined
      ? {}
      : { counter: { counter, protection: kind === "SIMULATION" ? "none" : "host" } }),
    ...(anchorFile === undefined ? {} : {
      records: [
        isBeneath(anchorFile, dataDir)
          ? { ...fileAnchor(anchorFile), protection: "none" }
          : fileAnchor(anchorFile),
      ],
    }),
    acceptLost: config.acceptLostAnchor,
  };
}

/** By their names; where a link leads is not looked at. */
function isBeneath(path: string, folder: string): boolean {
  const [inner, outer] = [partsOf(path), partsOf(folder)];
  return outer.every((part, i) => part === inner[i]);
}

/** Names from the root on. */
function partsOf(path: string): string[] {
  const parts: string[] = [];
  for (const part of (path.startsWith("/") ? path : `${Deno.cwd()}/${path}`).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}
