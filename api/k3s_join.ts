/**
 * What a worker needs to join K3s: the server's URL and a bootstrap token of its own, made in the
 * cluster for one admission and deleted with it. The server's own token is never known here.
 */
import type { Logger } from "@logtape/logtape";
import * as v from "valibot";
import type { Bytes } from "../backends/mod.ts";
import type { Store } from "../store/mod.ts";
import type { Clock } from "./deps.ts";
import { openK3sNodes } from "./k3s_nodes.ts";
import { prefixRange } from "./k8s/keys.ts";
import type { KubernetesUpstream } from "./k8s/upstream.ts";
import { ApiProblem } from "./problem.ts";
import type { Workers } from "./workers.ts";

const PREFIX = "/k3s-tokens/";
const SECRETS = "/api/v1/namespaces/kube-system/secrets";
const ADMISSION_LABEL = "nautilus-tee.io/admission";
/** Whom K3s lets in as an agent, as `k3s token create` says it. */
const AGENT_GROUP = "system:bootstrappers:k3s:default-node-token";
const TIMEOUT_MS = 10_000;
/** A token that is not there may still be on its way until then. */
const SETTLED_AFTER_MS = 60_000;
const RETRY_AFTER_MS = 5_000;
const MAX_DRAWS = 4;
/** Tokens of a node that are to go and could not be deleted yet: with so many it is given no other. */
const MAX_LEFT = 4;
const AT_ONCE = 16;

/** The secret half is nowhere but in the cluster and with its worker. */
const Token = v.strictObject({
  v: v.literal(1),
  token_id: v.pipe(v.string(), v.regex(/^[a-z0-9]{6}$/)),
  node_id: v.string(),
  /** The admission that it was made for, 32 hex. */
  admission: v.string(),
  created_at_ms: v.number(),
  expires_at_ms: v.number(),
  /** It was handed to nobody: whatever came of it in the cluster is to go. */
  abandoned: v.optional(v.literal(true)),
});
type Token = v.InferOutput<typeof Token>;
const Found = v.object({
  metadata: v.object({
    uid: v.string(),
    labels: v.optional(v.record(v.string(), v.string()), {}),
  }),
});

/** For the worker alone: never logged, never stored. */
export interface K3sJoinData {
  readonly serverUrl: string;
  /** `K10<hash of the server's CA>::<id>.<secret>`. */
  readonly token: string;
  readonly expiresAtMs: number;
}

export interface K3sJoins {
  /**
   * A token for an admission of the node, as long as it is the one that lives: whoever came after
   * under the same name has another. @throws {ApiProblem} 401 where it is over, 503
   */
  issue(nodeId: string, admission: string | undefined): Promise<K3sJoinData>;
  /**
   * Deletes every token whose admission is over, and taints the Nodes of those whom the chain refuses;
   * called by a timer. @returns how many tokens are left
   */
  revoke(): Promise<number>;
}

export interface K3sJoinOptions {
  readonly store: Store;
  readonly upstream: KubernetesUpstream;
  readonly workers: Pick<Workers, "liveAdmission" | "get">;
  /** `https://host:port` of the K3s server. */
  readonly serverUrl: string;
  /** Lower-case hex of 32 bytes: what agents check the server's CA against. */
  readonly caHash: string;
  readonly clock: Clock;
  readonly random: (length: number) => Bytes;
  readonly log: Logger;
}

/** Reads which tokens there are. */
export async function openK3sJoins(options: K3sJoinOptions): Promise<K3sJoins> {
  const { store, upstream, workers, clock, random, log } = options;
  const tokens = new Map<string, { readonly token: Token; retryAtMs: number }>();
  for (const { value } of (await store.range("system", prefixRange(PREFIX))).kvs) {
    const token = v.parse(Token, JSON.parse(new TextDecoder().decode(value)));
    tokens.set(token.token_id, { token, retryAtMs: 0 });
  }

  const remember = async (token: Token): Promise<void> => {
    const value = new TextEncoder().encode(JSON.stringify(token));
    const success = [{ type: "put", keyspace: "system", key: keyOf(token), value }] as const;
    await store.txn({ compare: [], success, failure: [] });
    tokens.set(token.token_id, { token, retryAtMs: 0 });
  };
  /** Also after a restart; where the store fails, it goes with its session. */
  const abandon = (token: Token): Promise<void> => remember({ ...token, abandoned: true });
  const forget = async (token: Token): Promise<void> => {
    const success = [{ type: "delete", keyspace: "system", key: keyOf(token) }] as const;
    await store.txn({ compare: [], success, failure: [] });
    tokens.delete(token.token_id);
  };
  const ask = async (
    method: string,
    path: string,
    body?: unknown,
    contentType = "application/json",
  ): Promise<Response> =>
    await upstream.fetch(
      new Request(`${upstream.origin}${path}`, {
        method,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        headers: { "Accept": "application/json", "Content-Type": contentType },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );

  /** @returns the status; the body is not looked at: it would hold the secret */
  const create = async (token: Token, secret: string): Promise<number> => {
    const response = await ask("POST", SECRETS, secretObject(token, secret));
    await response.body?.cancel();
    return response.status;
  };

  /** @returns whether nothing of the token is left in the cluster */
  const remove = async (token: Token): Promise<boolean> => {
    const path = `${SECRETS}/bootstrap-token-${token.token_id}`;
    const found = await ask("GET", path);
    if (found.status === 404) {
      await found.body?.cancel();
      return clock() - token.created_at_ms > SETTLED_AFTER_MS;
    }
    if (found.status !== 200) {
      await found.body?.cancel();
      throw new Error(`the kube-apiserver answered ${found.status} to GET`);
    }
    const { metadata } = v.parse(Found, await found.json());
    // Somebody else's of the same name: not ours to delete.
    if (metadata.labels[ADMISSION_LABEL] !== token.admission) return true;
    const preconditions = { uid: metadata.uid };
    const gone = await ask("DELETE", path, {
      apiVersion: "v1",
      kind: "DeleteOptions",
      preconditions,
    });
    await gone.body?.cancel();
    if (gone.status === 200 || gone.status === 202 || gone.status === 404) return true;
    throw new Error(`the kube-apiserver answered ${gone.status} to DELETE`);
  };

  const revokeOne = async (id: string): Promise<void> => {
    const entry = tokens.get(id);
    if (entry === undefined) return;
    const { token } = entry;
    try {
      if (await remove(token)) await forget(token);
      else entry.retryAtMs = clock() + RETRY_AFTER_MS;
    } catch (error) {
      entry.retryAtMs = clock() + RETRY_AFTER_MS;
      log.warn("a K3s join credential could not be deleted, tried again: {reason}", {
        worker: token.node_id,
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  };

  const isOver = (token: Token): boolean =>
    token.abandoned === true || clock() >= token.expires_at_ms ||
    workers.liveAdmission(token.node_id)?.id !== token.admission;

  /** A worker that asks again and again while the cluster is down fills nothing. @throws {ApiProblem} */
  const clear = async (nodeId: string): Promise<void> => {
    const left = () =>
      [...tokens.values()].filter(({ token }) => token.node_id === nodeId && isOver(token));
    if (left().length < MAX_LEFT) return;
    await Promise.all(left().map(({ token }) => revokeOne(token.token_id)));
    if (left().length >= MAX_LEFT) throw unavailable("earlier ones could not be deleted yet");
  };

  const revoke = async (): Promise<number> => {
    const now = clock();
    const over = [...tokens.values()].filter(({ token, retryAtMs }) =>
      now >= retryAtMs && isOver(token)
    );
    for (let i = 0; i < over.length; i += AT_ONCE) {
      await Promise.all(over.slice(i, i + AT_ONCE).map(({ token }) => revokeOne(token.token_id)));
    }
    return tokens.size;
  };

  const nodes = await openK3sNodes({ store, workers, clock, log, ask });
  let running: Promise<number> | undefined;
  return {
    revoke() {
      running ??= revoke().then(async (left) => {
        await nodes.expel();
        return left;
      }).finally(() => {
        running = undefined;
      });
      return running;
    },
    async issue(nodeId, admission) {
      await clear(nodeId);
      for (let draw = 0; draw < MAX_DRAWS; draw++) {
        const live = workers.liveAdmission(nodeId);
        if (live === undefined || live.id !== admission) throw sessionOver();
        const token: Token = {
          v: 1,
          token_id: letters(random, 6),
          node_id: nodeId,
          admission: live.id,
          created_at_ms: clock(),
          expires_at_ms: live.expiresAtMs,
        };
        if (tokens.has(token.token_id)) continue;
        const secret = letters(random, 16);
        // Known before it is made: whatever happens in between, it is found and deleted.
        await nodes.handOut(nodeId);
        await remember(token);
        let status: number;
        try {
          status = await create(token, secret);
        } catch (cause) {
          await abandon(token);
          throw unavailable("the kube-apiserver cannot be reached", cause);
        }
        if (status === 409) {
          await forget(token); // another's by that name
          continue;
        }
        if (status !== 201) {
          await abandon(token);
          throw unavailable(`the kube-apiserver answered ${status}`);
        }
        if (workers.liveAdmission(nodeId)?.id !== live.id) {
          await abandon(token);
          throw sessionOver();
        }
        return {
          serverUrl: options.serverUrl,
          token: `K10${options.caHash}::${token.token_id}.${secret}`,
          expiresAtMs: live.expiresAtMs,
        };
      }
      throw unavailable("no free token id was found");
    },
  };
}

function keyOf(token: Token): Bytes {
  return new TextEncoder().encode(PREFIX + token.token_id);
}

/** As Kubernetes' bootstrap tokens: a Secret named by its id. */
function secretObject(token: Token, secret: string): unknown {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: `bootstrap-token-${token.token_id}`,
      namespace: "kube-system",
      labels: { [ADMISSION_LABEL]: token.admission },
    },
    type: "bootstrap.kubernetes.io/token",
    stringData: {
      "token-id": token.token_id,
      "token-secret": secret,
      description: `Nautilus TEE: node ${token.node_id}, session ${token.admission}`,
      expiration: new Date(token.expires_at_ms).toISOString().replace(/\.\d+Z$/, "Z"),
      "usage-bootstrap-authentication": "true",
      "usage-bootstrap-signing": "true",
      "auth-extra-groups": AGENT_GROUP,
    },
  };
}

/** Letters and digits of a bootstrap token, each as likely as the others. */
function letters(random: (length: number) => Bytes, length: number): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
  let out = "";
  while (out.length < length) {
    for (const byte of random(32)) {
      if (byte < 252 && out.length < length) out += alphabet[byte % 36] ?? "";
    }
  }
  return out;
}

function unavailable(detail: string, cause?: unknown): ApiProblem {
  return new ApiProblem(503, "k3s_unavailable", `no K3s join token could be made: ${detail}`, {
    retryAfterSeconds: 5,
    ...(cause === undefined ? {} : { cause }),
  });
}

function sessionOver(): ApiProblem {
  return new ApiProblem(401, "session_unknown", "the session ended while its token was made", {
    headers: { "WWW-Authenticate": "SealToken" },
  });
}

/** Asked for, and not to be had: said before anything is judged. */
export function k3sNotConfigured(): ApiProblem {
  return new ApiProblem(400, "k3s_not_configured", "this master hands out no K3s join tokens", {
    field: "k3s",
    hint: "NAUTILUS_K3S_SERVER_URL is not set, or the worker did not prove its Seal token",
  });
}
