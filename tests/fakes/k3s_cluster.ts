/** For tests: the bootstrap tokens of a K3s cluster, behind a kube-apiserver that can fail. */
import * as v from "valibot";
import type { KubernetesUpstream } from "../../api/k8s/upstream.ts";

const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const Created = v.object({
  metadata: v.object({ name: v.string(), labels: v.record(v.string(), v.string()) }),
  stringData: v.object({ "token-id": v.string(), expiration: v.string() }),
});
const Deletion = v.object({ preconditions: v.object({ uid: v.string() }) });

export interface ClusterToken {
  readonly id: string;
  readonly uid: string;
  readonly admission: string;
  readonly expiresAtMs: number;
}

export interface K3sCluster {
  readonly upstream: KubernetesUpstream;
  /** `refused`: 403 to everything; `lost`: what is asked for is done, and the answer does not arrive. */
  fault: "none" | "refused" | "lost";
  /** Runs before a token is made. */
  beforeCreate: () => Promise<void>;
  /** Requests to make a token so far. */
  readonly asked: number;
  tokens(): readonly ClusterToken[];
}

export function k3sCluster(): K3sCluster {
  const secrets = new Map<string, ClusterToken>();
  let asked = 0;

  async function answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    const name = pathname.slice(SECRETS.length + 1);
    if (request.method === "POST" && pathname === SECRETS) {
      asked++;
      await cluster.beforeCreate();
      const { metadata, stringData } = v.parse(Created, await request.json());
      if (secrets.has(metadata.name)) return new Response(null, { status: 409 });
      secrets.set(metadata.name, {
        id: stringData["token-id"],
        uid: crypto.randomUUID(),
        admission: metadata.labels["nautilus-tee.io/admission"] ?? "",
        expiresAtMs: Date.parse(stringData.expiration),
      });
      return new Response(null, { status: 201 });
    }
    const found = secrets.get(name);
    if (found === undefined) return new Response(null, { status: 404 });
    const { uid, admission } = found;
    if (request.method === "GET") {
      return Response.json({
        metadata: { uid, labels: { "nautilus-tee.io/admission": admission } },
      });
    }
    if (request.method !== "DELETE") return new Response(null, { status: 405 });
    const { preconditions } = v.parse(Deletion, await request.json());
    if (preconditions.uid !== uid) return new Response(null, { status: 409 });
    secrets.delete(name);
    return new Response(null, { status: 200 });
  }

  const cluster: K3sCluster = {
    fault: "none",
    beforeCreate: () => Promise.resolve(),
    get asked() {
      return asked;
    },
    tokens: () => [...secrets.values()],
    upstream: {
      origin: "https://cluster.test",
      async fetch(request) {
        if (cluster.fault === "refused") return new Response(null, { status: 403 });
        const response = await answer(request);
        if (cluster.fault === "lost") throw new TypeError("connection reset");
        return response;
      },
    },
  };
  return cluster;
}
