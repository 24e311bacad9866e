/** What the master says of itself when it is ready. */
import type { ReplayGate } from "../../api/chain_replay.ts";
import type { TeeFacts } from "../../api/deps.ts";
import type { Config } from "../../config.ts";
import type { Store } from "../../store/mod.ts";
import type { Chain } from "./chain.ts";
import type { EtcdListener } from "./etcd_listener.ts";
import type { Front } from "./front.ts";
import type { Listeners } from "./listeners.ts";
import { formatListen } from "../runtime_files.ts";

export function banner(facts: {
  readonly version: string;
  readonly config: Config;
  readonly tee: TeeFacts;
  readonly store: Store;
  readonly front: Pick<Front, "listeners" | "etcd" | "files">;
  readonly chain: Pick<Chain, "state">;
  readonly replay: Pick<ReplayGate, "notice">;
}): string {
  const { tee, store } = facts;
  const { listeners, etcd, files } = facts.front;
  const url = (listeners.plain ?? listeners.main).url;
  const rows: (readonly [string, string])[] = [
    ["TEE", `${tee.kind}, level ${tee.securityLevel}, covers ${tee.covers}`],
    ...(tee.kind === "SIMULATION"
      ? [["", "A SIMULATION PROTECTS NOTHING: for development only."] as const]
      : []),
    ["Listening", listeners.all.map((server) => server.url).join("  ")],
    ...(etcd === undefined
      ? []
      : [["etcd", etcd.server.addresses.map(etcdAddress).join("  ")] as const]),
    [
      "Data",
      `${facts.config.dataDir} (store ${
        store.storeId.toHex().slice(0, 12)
      }…, sequence ${store.head().sequence})`,
    ],
    ["Chain", facts.chain.state],
    ...(facts.replay.notice === undefined ? [] : [["", facts.replay.notice] as const]),
    ...(files.kubeconfig === undefined
      ? []
      : [["Kubeconfig", kubeconfigText(files.kubeconfig, listeners)] as const]),
    ["Try", `curl -s ${url.startsWith("https:") ? "-k " : ""}${url}/health`],
  ];
  return [
    `Nautilus TEE ${facts.version}: K3s-DaaS master`,
    ...rows.map(([name, value]) => `  ${name.padEnd(11)} ${value}`),
    "",
  ].join("\n");
}

function etcdAddress(address: EtcdListener["server"]["addresses"][number]): string {
  return address.kind === "unix" ? `unix://${address.path}` : `https://${formatListen(address)}`;
}

/** kubectl leaves out a kubeconfig's token where the server has no TLS. */
function kubeconfigText(path: string, { tls }: Listeners): string {
  return tls === undefined ? `${path} (kubectl sends its token over TLS only: --tls-listen)` : path;
}
