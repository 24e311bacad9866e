/**
 * The stand-in full node as a program:
 * `deno run -A tests/fakes/sui/main.ts --listen 127.0.0.1:0 [--name TEXT] [--package 0x…] [--cluster HEX]`.
 * Prints one JSON line when it listens; stops on SIGINT and SIGTERM.
 */
import { parseArgs } from "@std/cli/parse-args";
import * as v from "valibot";
import { canonicalAddress } from "../../../sui/address.ts";
import { FakeChain } from "./chain.ts";
import { FakeGateway } from "./gateway.ts";
import { startFakeNode } from "./server.ts";

const Flags = v.object({
  listen: v.optional(v.string(), "127.0.0.1:0"),
  name: v.optional(v.string()),
  package: v.optional(v.pipe(v.string(), v.transform(canonicalAddress), v.string())),
  cluster: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/))),
});

if (import.meta.main) {
  const flags = v.parse(
    Flags,
    parseArgs(Deno.args, { string: ["listen", "name", "package", "cluster"] }),
  );
  const listen = new URL(`http://${flags.listen}`);
  const chain = new FakeChain({
    clock: Date.now,
    ...(flags.name === undefined ? {} : { name: flags.name }),
  });
  const gateway = new FakeGateway({
    chain,
    clock: Date.now,
    ...(flags.package === undefined ? {} : { packageId: flags.package }),
    ...(flags.cluster === undefined ? {} : { clusterId: Uint8Array.fromHex(flags.cluster) }),
  });
  await using node = await startFakeNode({
    gateway,
    hostname: listen.hostname,
    port: Number(listen.port || "0"),
  });
  // A chain never stands still, or its nodes' answers would grow old.
  const sealing = setInterval(() => {
    if (chain.autoCheckpoint) chain.advance();
  }, 1_000);
  const ready = {
    url: node.url,
    chain_id: chain.chainId,
    package_id: gateway.packageId,
    registry_id: gateway.registryId,
    cluster_id: gateway.clusterId.toHex(),
  };
  await Deno.stdout.write(new TextEncoder().encode(JSON.stringify(ready) + "\n"));
  const stopped = Promise.withResolvers<void>();
  const stop = () => stopped.resolve();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  await stopped.promise;
  clearInterval(sealing);
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.removeSignalListener(signal, stop);
}
