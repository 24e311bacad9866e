/** What the master says of itself when it is ready. */
import type { TeeFacts } from "../api/deps.ts";
import type { Config } from "../config.ts";
import type { Store } from "../store/mod.ts";
import type { ChainParts } from "./chain.ts";
import type { Listeners } from "./listeners.ts";

export function banner(facts: {
  readonly version: string;
  readonly config: Config;
  readonly tee: TeeFacts;
  readonly store: Store;
  readonly listeners: Listeners;
  readonly chain: ChainParts;
  readonly files: { readonly endpoints: string; readonly kubeconfig: string | undefined };
}): string {
  const { tee, store, files, listeners } = facts;
  const url = (listeners.plain ?? listeners.main).url;
  const rows: (readonly [string, string])[] = [
    ["TEE", `${tee.kind}, level ${tee.securityLevel}, covers ${tee.covers}`],
    ...(tee.kind === "SIMULATION"
      ? [["", "A SIMULATION PROTECTS NOTHING: for development only."] as const]
      : []),
    ["Listening", listeners.all.map((server) => server.url).join("  ")],
    [
      "Data",
      `${facts.config.dataDir} (store ${
        store.storeId.toHex().slice(0, 12)
      }…, sequence ${store.head().sequence})`,
    ],
    ["Chain", facts.chain.state],
    ...(files.kubeconfig === undefined ? [] : [["Kubeconfig", files.kubeconfig] as const]),
    ["Try", `curl -s ${url.startsWith("https:") ? "-k " : ""}${url}/health`],
  ];
  return [
    `Nautilus TEE ${facts.version}: K3s-DaaS master`,
    ...rows.map(([name, value]) => `  ${name.padEnd(11)} ${value}`),
    "",
  ].join("\n");
}
