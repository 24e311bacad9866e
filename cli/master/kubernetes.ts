/** Kubernetes twice: the objects that this master serves itself, and the cluster that it speaks for. */
import type { Logger } from "@logtape/logtape";
import { createAuthorizer } from "../../api/k8s/authorize.ts";
import { createK8sService, type K8sService } from "../../api/k8s/service.ts";
import type { KubernetesUpstream } from "../../api/k8s/upstream.ts";
import type { K3sJoins } from "../../api/k3s_join.ts";
import type { Workers } from "../../api/workers.ts";
import type { Config } from "../../config.ts";
import type { OpenNode } from "../node/node.ts";
import { systemRandom } from "../random.ts";
import type { Step } from "../node/steps.ts";
import { openK3s } from "./k3s.ts";
import { openUpstream } from "./k8s_upstream.ts";

/** The objects in the store, under the grants of the sealed configuration. */
export function createOwnKubernetes(
  { store, sealed }: Pick<OpenNode, "store" | "sealed">,
): K8sService {
  return createK8sService({
    store,
    clock: Date.now,
    random: systemRandom,
    authorizer: createAuthorizer(sealed.grants),
  });
}

export interface UpstreamCluster extends Disposable {
  /** Where Kubernetes paths are proxied to; undefined: they are served here. */
  readonly upstream: KubernetesUpstream | undefined;
  /** Hands out what K3s needs to join; undefined where the master is not configured to. */
  readonly k3s: K3sJoins | undefined;
}

/** @throws {ConfigError} for settings that lack one another, or a credential that is none */
export async function openUpstreamCluster(options: {
  readonly step: Step;
  readonly node: Pick<OpenNode, "store" | "sealed">;
  readonly workers: Workers;
  readonly config: Config;
  readonly log: Logger;
}): Promise<UpstreamCluster> {
  const { step, node: { store, sealed }, workers, config, log } = options;
  using undo = new DisposableStack();
  const upstream = undo.use(
    await step("kubernetes", () => openUpstream(store, sealed, config), (opened) => ({
      upstream: opened?.origin ?? "embedded",
    })),
  );
  const k3s = await openK3s({
    sealed,
    upstream,
    store,
    workers,
    log,
    clock: Date.now,
    random: systemRandom,
  });
  const opened = undo.move();
  return { upstream, k3s, [Symbol.dispose]: () => opened.dispose() };
}
