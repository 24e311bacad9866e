/** A session that was won: signed heartbeats, renewals, the farewell, and what is assigned here. */
import * as v from "valibot";
import { type BeatPurpose, beatSignatureInput } from "../api/beat_signature.ts";
import type { NodeKey } from "../sui/admission_proof.ts";
import type { Figures } from "./worker_figures.ts";
import { type Joined, refusalOf } from "./worker_join.ts";
import { KeptConnectionLost, type LinkAnswer } from "./worker_link.ts";

const TIMEOUT_MS = 30_000;
/** A farewell is a courtesy: the process is to end, whether the master hears it or not. */
const LEAVE_TIMEOUT_MS = 5_000;
const WATCH_SECONDS = 300;

export interface PodChange {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** The pod as the master has it. */
  readonly object: Readonly<Record<string, unknown>>;
  readonly uid: string;
}

const Pod = v.looseObject({ metadata: v.looseObject({ uid: v.string() }) });
const List = v.object({
  metadata: v.object({ resourceVersion: v.string() }),
  items: v.array(Pod),
});
const Event = v.object({ type: v.string(), object: v.looseObject({}) });
const Renewal = v.object({
  session_token: v.optional(v.string()),
  session_expires_at: v.optional(v.number()),
});

export class WorkerSession implements Disposable {
  readonly #joined: Joined;
  readonly #nodeId: string;
  readonly #nodeKey: NodeKey;
  readonly #now: () => number;
  #token: string;
  #sequence = 0;

  constructor(joined: Joined, nodeId: string, nodeKey: NodeKey, now: () => number) {
    this.#joined = joined;
    this.#token = joined.sessionToken;
    this.#nodeId = nodeId;
    this.#nodeKey = nodeKey;
    this.#now = now;
  }

  /**
   * @param signal gives it up
   * @returns whether the session was renewed. @throws {JoinRefused}
   */
  async beat(
    { usage, capacity }: Figures,
    runningPods: number,
    signal?: AbortSignal,
  ): Promise<boolean> {
    const answer = await this.#signed("heartbeat", "/api/v1/nodes/heartbeat", {
      node_id: this.#nodeId,
      timestamp: Math.floor(this.#now() / 1000),
      // The chain tells the master of the stake; a worker's word on it counts for nothing.
      stake_status: "unknown",
      stake_amount: 0,
      running_pods: runningPods,
      resource_usage: usage,
      ...(capacity === undefined ? {} : { capacity }),
    }, signal);
    if (answer.status !== 200) throw refusalOf(answer);
    const renewal = v.parse(Renewal, JSON.parse(answer.body));
    if (renewal.session_token === undefined) return false;
    this.#token = renewal.session_token;
    return true;
  }

  /**
   * Does nothing where the session is over already; takes five seconds at most.
   * @throws {JoinRefused}
   */
  async leave(): Promise<void> {
    const answer = await this.#signed("leave", "/api/v1/nodes/leave", {
      node_id: this.#nodeId,
      timestamp: Math.floor(this.#now() / 1000),
    }, AbortSignal.timeout(LEAVE_TIMEOUT_MS));
    if (answer.status === 200) return;
    const refusal = refusalOf(answer);
    if (refusal.code !== "session_unknown") throw refusal;
  }

  /**
   * The pods bound to this node: those there are, then every change, until the watch ends.
   * `known` holds the uids seen before; what is gone since is told as DELETED.
   */
  async *pods(known: Set<string>, signal: AbortSignal): AsyncGenerator<PodChange> {
    const selector = `fieldSelector=${encodeURIComponent(`spec.nodeName=${this.#nodeId}`)}`;
    const answer = await this.#joined.link.send({
      method: "GET",
      path: `/api/v1/pods?${selector}`,
      headers: this.#bearer(),
      timeoutMs: TIMEOUT_MS,
      signal,
    });
    if (answer.status !== 200) throw refusalOf(answer);
    const list = v.parse(List, JSON.parse(answer.body));
    const present = new Set(list.items.map(({ metadata }) => metadata.uid));
    for (const uid of known) {
      if (!present.has(uid)) yield { type: "DELETED", object: { metadata: { uid } }, uid };
    }
    for (const object of list.items) {
      const { uid } = object.metadata;
      yield { type: known.has(uid) ? "MODIFIED" : "ADDED", object, uid };
    }
    const path = `/api/v1/pods?watch=true&${selector}&timeoutSeconds=${WATCH_SECONDS}` +
      `&resourceVersion=${encodeURIComponent(list.metadata.resourceVersion)}`;
    for await (const line of this.#joined.link.lines(path, this.#bearer(), signal)) {
      const { type, object } = v.parse(Event, JSON.parse(line));
      if (type !== "ADDED" && type !== "MODIFIED" && type !== "DELETED") return; // look afresh
      const pod = v.parse(Pod, object);
      yield { type, object: pod, uid: pod.metadata.uid };
    }
  }

  #bearer(): Record<string, string> {
    return { authorization: `Bearer ${this.#token}` };
  }

  /** Ends the connection that was kept. */
  [Symbol.dispose](): void {
    this.#joined.link[Symbol.dispose]();
  }

  /** Once more, and signed anew, where a kept connection breaks off: the first may have arrived. */
  async #signed(
    purpose: BeatPurpose,
    path: string,
    body: unknown,
    signal: AbortSignal | undefined,
  ): Promise<LinkAnswer> {
    try {
      return await this.#send(purpose, path, body, signal);
    } catch (error) {
      if (!(error instanceof KeptConnectionLost)) throw error;
      return await this.#send(purpose, path, body, signal);
    }
  }

  async #send(
    purpose: BeatPurpose,
    path: string,
    body: unknown,
    signal: AbortSignal | undefined,
  ): Promise<LinkAnswer> {
    const bytes = new TextEncoder().encode(JSON.stringify(body));
    // Up with the clock, so that nothing has to be kept; and up in any case.
    this.#sequence = Math.max(this.#sequence + 1, this.#now());
    const input = { purpose, sessionToken: this.#token, sequence: this.#sequence, body: bytes };
    const signature = await this.#nodeKey.sign(beatSignatureInput(input));
    return await this.#joined.link.send({
      method: "POST",
      path,
      headers: {
        "x-seal-token": this.#token,
        "x-nautilus-sequence": String(this.#sequence),
        "x-nautilus-signature": signature.toBase64(),
      },
      body: bytes,
      timeoutMs: TIMEOUT_MS,
      signal,
    });
  }
}
