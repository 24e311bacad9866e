/** Where clients reach this master: the HTTP listeners, the etcd interface, and the files that tell. */
import type { Logger } from "@logtape/logtape";
import type { FetchApp } from "../../api/bridge.ts";
import type { EtcdAuthority } from "../../api/etcd/mod.ts";
import type { Config } from "../../config.ts";
import type { CommandIo } from "../command.ts";
import type { OpenNode } from "../node/node.ts";
import type { Step } from "../node/steps.ts";
import { makePrivateDirectory, removeFile } from "../files/written.ts";
import { runtimeDirectory } from "../runtime_files.ts";
import { connectionBudget, readLimits } from "./connection_budget.ts";
import { type EtcdListener, openEtcdListener } from "./etcd_listener.ts";
import { type Listeners, openListeners } from "./listeners.ts";
import { type PublishedFiles, publishFiles } from "./published_files.ts";

export interface Front extends AsyncDisposable {
  readonly listeners: Listeners;
  /** Undefined where the etcd interface is off. */
  readonly etcd: EtcdListener | undefined;
  readonly files: PublishedFiles;
  /**
   * No new connections; open requests may go on until the deadline.
   * @returns how many HTTP connections were cut
   */
  close(deadlineMs: number): Promise<{ readonly cut: number }>;
  /** Removes the file that says where this master listens. */
  withdraw(): Promise<void>;
}

/**
 * What was opened is closed again, at once, when a later step fails.
 * @throws {ConfigError | BootError}
 */
export async function openFront(options: {
  readonly step: Step;
  readonly app: FetchApp;
  readonly config: Config;
  readonly node: Pick<OpenNode, "tee" | "store" | "tls">;
  readonly authority: EtcdAuthority;
  /** What the kubeconfig holds; undefined: none is written. */
  readonly adminToken: string | undefined;
  /** Whether requests are passed on to a kube-apiserver. */
  readonly isProxy: boolean;
  readonly host: Pick<CommandIo, "isRoot" | "env">;
  readonly log: Logger;
}): Promise<Front> {
  const { step, app, config, node, authority, adminToken, isProxy, host, log } = options;
  await using undo = new AsyncDisposableStack();
  const budget = connectionBudget(await readLimits(), isProxy);
  const listeners = undo.use(
    await step(
      "api",
      () => openListeners(app, config, node, log, budget.http),
      ({ plain, tls }) => ({ ...(plain && { url: plain.url }), ...(tls && { tls_url: tls.url }) }),
    ),
  );
  const runtimeDir = runtimeDirectory(config, host);
  await makePrivateDirectory(runtimeDir);
  const etcd = await step("etcd", () =>
    openEtcdListener({
      config,
      node,
      log,
      runtimeDir,
      authority,
      maxConnections: budget.etcd,
    }), (opened) => ({ addresses: opened?.server.addresses ?? [] }));
  undo.use(etcd?.server);
  const files = await publishFiles(
    runtimeDir,
    adminToken === undefined
      ? undefined
      : { path: `${config.dataDir}/admin.kubeconfig`, adminToken },
    listeners,
    node.tls,
    etcd,
  );
  const opened = undo.move();
  return {
    listeners,
    etcd,
    files,
    async close(deadlineMs) {
      const [closed] = await Promise.all([listeners.close(deadlineMs), etcd?.server.close()]);
      return closed;
    },
    withdraw: () => removeFile(files.endpoints),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}
