/**
 * Admission with an attacker in it, and what must come of every step: workers with wallets of every
 * scheme and TEEs of their own, a chain that changes its mind, a K3s cluster that fails. Everything
 * that is seen of the master goes through one pair of eyes, which a test can make lie.
 */
import { assert, assertEquals } from "@std/assert";
import type { SignedProof } from "../../sui/admission_proof.ts";
import { nodeKeyHash, workerReportData } from "../../sui/admission_message.ts";
import { SESSION_TTL_MS } from "./api.ts";
import { type K3sCluster, k3sCluster } from "./k3s_cluster.ts";
import {
  type Answer,
  type ProtocolWorker,
  type ProtocolWorld,
  protocolWorld,
  signedHeaders,
} from "./protocol.ts";
import { wallets, zkLoginJudge, zkLoginWallet } from "./sui/wallets.ts";
import { appraiserOf, type Machine, machine, policyText } from "./worker_tee.ts";
import type { WorkerAppraiser } from "../../api/worker_evidence.ts";

/** One worker for each scheme: Ed25519, secp256k1, secp256r1, multisig, passkey, zkLogin. */
export const WORKERS = 6;
const ZK_LOGIN = 5;
const MAX_EPOCH = 10;
/** Evidence relies on nothing longer than this: one and a half sessions. */
const EVIDENCE_MS = 1.5 * SESSION_TTL_MS;
const K3S_TOKEN = /^K10(?:c5){32}::([a-z0-9]{6})\.[a-z0-9]{16}$/;

export const ACTS = [
  "join",
  "join for K3s",
  "beat",
  "leave",
  "replay proof",
  "swap proof",
  "wallet of another",
  "wallet of another message",
  "evidence of none",
  "evidence of another worker",
  "evidence of another challenge",
  "evidence of another node key",
  "evidence of another master",
  "evidence of an unknown machine",
  "evidence of long ago",
  "K3s by a bare id",
  "K3s cluster refuses",
  "K3s answer is lost",
  "slash while judged",
  "slash while the K3s token is made",
  "replay beat",
  "steal",
  "dead session",
  "slash",
  "revoke",
  "restore",
  "rotate node key",
  "node key again",
  "epoch",
  "deliver",
  "sweep",
  "tick",
  "restart",
  "minute",
  "half",
  "chain down",
] as const;
export type Act = typeof ACTS[number];

export interface Step {
  readonly act: Act;
  readonly who: number;
  readonly other: number;
}

/** What is seen of the master; `lie` may tell something else than what was there. */
export interface Eyes {
  answer(answer: Answer): Answer;
  /** The node that a session token belongs to. */
  node(nodeId: string | undefined): string | undefined;
  /** Ids of the bootstrap tokens in the cluster. */
  tokens(ids: readonly string[]): readonly string[];
}

export const HONEST: Eyes = {
  answer: (answer) => answer,
  node: (nodeId) => nodeId,
  tokens: (ids) => ids,
};

interface Session {
  readonly token: string;
  readonly endsAtMs: number;
  readonly evidenceEndsAtMs: number;
  readonly sequence: number;
  /** The K3s token that came with the admission, and its end. */
  readonly k3s: { readonly id: string; readonly endsAtMs: number } | undefined;
}

interface Model {
  status: "active" | "slashed";
  revoked: boolean;
  keyNamed: boolean;
  /** The chain took something back, and the event has not been applied yet. */
  pending: boolean;
  session: Session | undefined;
  dead: string[];
  used: { readonly proof: SignedProof; readonly evidence: unknown }[];
}

/** TEEs cost a folder each: made once for many plays, on the clock of the one that runs. */
export interface Machines extends AsyncDisposable {
  readonly time: { now: number };
  readonly own: readonly Machine[];
  /** Known to nobody. */
  readonly stranger: Machine;
  /** Of a machine that is known, whose clock stands. */
  readonly late: Machine;
}

export async function machines(): Promise<Machines> {
  const time = { now: 0 };
  const own = await Promise.all(Array.from({ length: WORKERS }, () => machine(() => time.now)));
  const stranger = await machine(() => time.now);
  const late = await machine(() => time.now - EVIDENCE_MS - 1_000);
  return {
    time,
    own,
    stranger,
    late,
    async [Symbol.asyncDispose]() {
      for (const one of [...own, stranger, late]) await one[Symbol.asyncDispose]();
    },
  };
}

/** A part of the master that a test breaks on purpose. */
export interface Breakage {
  readonly appraiser?: (real: WorkerAppraiser) => WorkerAppraiser;
  readonly zkLogin?: boolean;
  readonly cluster?: (real: K3sCluster) => void;
}

export class AdmissionPlay implements AsyncDisposable {
  readonly world: ProtocolWorld;
  readonly cluster: K3sCluster;
  readonly #machines: Machines;
  readonly #chain: { epoch: number };
  readonly #workers: readonly ProtocolWorker[];
  readonly #models: readonly Model[];
  readonly #eyes: Eyes;

  private constructor(
    parts: Pick<AdmissionPlay, "world" | "cluster"> & {
      readonly machines: Machines;
      readonly chain: { epoch: number };
      readonly workers: readonly ProtocolWorker[];
      readonly eyes: Eyes;
    },
  ) {
    this.world = parts.world;
    this.cluster = parts.cluster;
    this.#machines = parts.machines;
    this.#chain = parts.chain;
    this.#workers = parts.workers;
    this.#eyes = parts.eyes;
    this.#models = parts.workers.map((): Model => ({
      status: "active",
      revoked: false,
      keyNamed: true,
      pending: false,
      session: undefined,
      dead: [],
      used: [],
    }));
  }

  static async open(
    machines: Machines,
    eyes: Eyes = HONEST,
    breakage: Breakage = {},
  ): Promise<AdmissionPlay> {
    const chain = { epoch: 1 };
    const zk = await zkLoginWallet(77, MAX_EPOCH);
    const judge = zkLoginJudge([zk], chain);
    const cluster = k3sCluster();
    breakage.cluster?.(cluster);
    const world = await protocolWorld({
      unlimited: true,
      upstream: cluster.upstream,
      zkLogin: breakage.zkLogin === true
        ? { verifyPersonalMessage: () => Promise.resolve(true) }
        : judge,
    });
    const roots = [...machines.own, machines.late].map(({ root }) => root);
    const policy = policyText(roots, { maxAgeSeconds: EVIDENCE_MS / 1000 });
    const appraiser = appraiserOf(policy, () => world.time.now);
    world.appraiser = breakage.appraiser?.(appraiser) ?? appraiser;
    await world.restart();
    const workers = [...wallets(31), zk].map((wallet, i) =>
      world.worker(`worker-${i}`, 0, undefined, wallet)
    );
    assertEquals(workers.length, WORKERS);
    return new AdmissionPlay({ world, cluster, machines, chain, workers, eyes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world[Symbol.asyncDispose]();
  }

  /** @throws {AssertionError} where what is seen is not what must be */
  async step({ act, who, other }: Step): Promise<void> {
    const { world } = this;
    this.#machines.time.now = world.time.now;
    const [worker, model] = [this.#workers[who], this.#models[who]];
    const [victim, victims] = [this.#workers[other], this.#models[other]];
    assert(worker && model && victim && victims);
    switch (act) {
      case "join":
      case "join for K3s":
        await this.#join(who, act === "join for K3s");
        break;
      case "beat":
        await this.#beat(who);
        break;
      case "leave":
        await this.#leave(who);
        break;
      case "replay proof":
        for (const { proof, evidence } of model.used.slice(-2)) {
          for (const k3s of [false, true]) await this.#refused(proof, evidence, k3s);
        }
        break;
      case "swap proof": {
        if (who === other) break;
        const mine = await this.#prove(worker);
        const theirs = await this.#prove(victim);
        const evidence = await this.#evidence(who, mine);
        await this.#refused({ ...mine, tokenId: theirs.tokenId }, evidence);
        await this.#refused({ ...mine, nodeKey: theirs.nodeKey }, evidence);
        await this.#refused({ ...theirs, address: mine.address }, evidence);
        await this.#refused({ ...mine, challenge: theirs.challenge }, evidence);
        break;
      }
      case "wallet of another":
      case "wallet of another message": {
        const proof = await this.#prove(worker);
        const earlier = await this.#prove(worker);
        const isOther = act === "wallet of another";
        if (isOther && who === other) break;
        const walletSignature = isOther
          ? await victim.wallet.sign(proof.message)
          : earlier.walletSignature;
        await this.#refused({ ...proof, walletSignature }, await this.#evidence(who, proof), true);
        break;
      }
      case "evidence of none":
      case "evidence of another worker":
      case "evidence of another challenge":
      case "evidence of another node key":
      case "evidence of another master":
      case "evidence of an unknown machine":
      case "evidence of long ago": {
        if (act === "evidence of another worker" && who === other) break;
        const proof = await this.#prove(worker);
        await this.#refused(proof, await this.#falseEvidence(act, who, other, proof), true);
        // The challenge is as good as before.
        await this.#present(who, proof, await this.#evidence(who, proof), false);
        break;
      }
      case "K3s by a bare id": {
        const asked = this.cluster.asked;
        const answer = await this.#post("/api/v1/register-worker", {
          node_id: worker.nodeId,
          seal_token: `seal_${worker.tokenId}`,
          timestamp: 1,
          k3s: true,
        }, model.session === undefined ? {} : { Authorization: `Bearer ${model.session.token}` });
        refuses(answer);
        assertEquals(this.cluster.asked, asked);
        break;
      }
      case "K3s cluster refuses":
      case "K3s answer is lost":
        this.cluster.fault = act === "K3s answer is lost" ? "lost" : "refused";
        await this.#join(who, true);
        this.cluster.fault = "none";
        // Until then what was not made may still be on its way, and too much of that hands out nothing.
        world.time.now += 61_000;
        break;
      case "slash while judged":
        world.afterCheck = async () => {
          world.afterCheck = () => Promise.resolve();
          await this.#slash(who);
          await this.#deliver();
        };
        await this.#refused(...await this.#good(who), true);
        world.afterCheck = () => Promise.resolve();
        break;
      case "slash while the K3s token is made":
        this.cluster.beforeCreate = async () => {
          this.cluster.beforeCreate = () => Promise.resolve();
          await this.#slash(who);
          await this.#deliver();
        };
        await this.#join(who, true);
        this.cluster.beforeCreate = () => Promise.resolve();
        break;
      case "replay beat":
        if (model.session === undefined || model.session.sequence === 0) break;
        refuses(await this.#send(worker, model.session.token, model.session.sequence));
        break;
      case "steal":
        if (who === other || victims.session === undefined) break;
        refuses(await this.#send(worker, victims.session.token, 1e9));
        refuses(await this.#send({ ...victim, sign: worker.sign }, victims.session.token, 1e9));
        break;
      case "dead session":
        for (const token of model.dead.slice(-3)) refuses(await this.#send(worker, token, 1e9));
        break;
      case "slash":
        await this.#slash(who);
        break;
      case "revoke":
        if (!model.revoked) model.pending = true;
        model.revoked = true;
        world.gateway.setEntry(worker.tokenId, { revoked: true });
        break;
      case "restore":
        // Good standing again; the event that took it away still ends the session.
        model.status = "active";
        model.revoked = false;
        world.gateway.setEntry(worker.tokenId, { status: "active", revoked: false });
        break;
      case "rotate node key":
      case "node key again": {
        model.keyNamed = act === "node key again";
        const { spki } = model.keyNamed ? worker : victim;
        const isOwn = spki === worker.spki;
        model.keyNamed = isOwn;
        const node_key_hash = Uint8Array.fromHex(nodeKeyHash(spki));
        world.gateway.setToken(worker.tokenId, { node_key_hash });
        break;
      }
      case "epoch":
        this.#chain.epoch = this.#chain.epoch > MAX_EPOCH ? 1 : MAX_EPOCH + 1;
        break;
      case "deliver":
        await this.#deliver();
        break;
      case "sweep":
        // Long enough for every session to be due.
        world.time.now += 61_000;
        await world.workers.sweep();
        this.#models.forEach((each, i) => {
          if (each.session !== undefined && !this.#isWanted(i)) this.#end(each);
        });
        break;
      case "tick":
        // Whatever failed a moment ago is tried again.
        world.time.now += 6_000;
        await world.k3s?.revoke();
        this.#checkCluster();
        break;
      case "restart":
        await world.restart();
        break;
      case "minute":
        world.time.now += 61_000;
        break;
      case "half":
        world.time.now += SESSION_TTL_MS / 2 + 5_000;
        break;
      case "chain down":
        world.ledger.unavailable = "down";
        await this.#refused(...await this.#good(who), true);
        world.ledger.unavailable = undefined;
        break;
    }
    this.#checkSessions(act);
  }

  /** What the chain says of a worker's token now. */
  #isWanted(who: number): boolean {
    const model = this.#models[who];
    return model !== undefined && model.status === "active" && !model.revoked && model.keyNamed;
  }

  #isLive({ session }: Model): boolean {
    return session !== undefined && this.world.time.now < session.endsAtMs;
  }

  #end(model: Model): void {
    if (model.session !== undefined) model.dead.push(model.session.token);
    model.session = undefined;
  }

  async #slash(who: number): Promise<void> {
    const [worker, model] = [this.#workers[who], this.#models[who]];
    assert(worker && model);
    if (model.status === "active") model.pending = true;
    model.status = "slashed";
    await Promise.resolve(this.world.gateway.setEntry(worker.tokenId, { status: "slashed" }));
  }

  async #deliver(): Promise<void> {
    await this.world.deliver();
    for (const model of this.#models) {
      if (model.pending) this.#end(model);
      model.pending = false;
    }
  }

  async #prove(worker: ProtocolWorker): Promise<SignedProof> {
    return await this.world.prove(worker, await this.world.challenge(worker));
  }

  async #evidence(who: number, { message }: SignedProof): Promise<unknown> {
    return await this.#machines.own[who]?.evidence(workerReportData(message));
  }

  /** A proof that nothing is wrong with. */
  async #good(who: number): Promise<[SignedProof, unknown]> {
    const worker = this.#workers[who];
    assert(worker);
    const proof = await this.#prove(worker);
    return [proof, await this.#evidence(who, proof)];
  }

  async #falseEvidence(act: Act, who: number, other: number, proof: SignedProof): Promise<unknown> {
    const { own, stranger, late } = this.#machines;
    const [worker, victim, tee] = [this.#workers[who], this.#workers[other], own[who]];
    assert(worker && victim && tee);
    const over = ({ message }: SignedProof) => tee.evidence(workerReportData(message));
    switch (act) {
      case "evidence of another worker":
        return await this.#evidence(other, await this.#prove(victim));
      case "evidence of another challenge":
        return await over(await this.#prove(worker));
      case "evidence of another node key":
        return await over(
          await this.world.prove(
            { ...worker, spki: (this.#workers[(who + 1) % WORKERS] ?? worker).spki },
            await this.world.challenge(worker),
          ),
        );
      case "evidence of another master": {
        const text = new TextDecoder().decode(proof.message);
        const message = new TextEncoder().encode(
          text.replace(/^master-measurement: 03/m, "master-measurement: 04"),
        );
        return await over({ ...proof, message });
      }
      case "evidence of an unknown machine":
        return await stranger.evidence(workerReportData(proof.message));
      case "evidence of long ago":
        return await late.evidence(workerReportData(proof.message));
      default:
        return undefined;
    }
  }

  async #post(path: string, body: unknown, headers?: Record<string, string>): Promise<Answer> {
    return this.#eyes.answer(await this.world.post(path, body, headers));
  }

  async #send(worker: ProtocolWorker, token: string, sequence: number): Promise<Answer> {
    return this.#eyes.answer(await this.world.beat(worker, token, sequence));
  }

  async #register(proof: SignedProof, evidence: unknown, k3s: boolean): Promise<Answer> {
    const body = this.world.registration(proof, evidence);
    return await this.#post("/api/v1/register-worker", k3s ? { ...body, k3s: true } : body);
  }

  /** Nobody is admitted by it, and nothing is made for anybody. */
  async #refused(proof: SignedProof, evidence: unknown, k3s = false): Promise<void> {
    const asked = this.cluster.asked;
    refuses(await this.#register(proof, evidence, k3s));
    assertEquals(this.cluster.asked, asked, "no K3s token was asked for");
  }

  async #join(who: number, k3s: boolean): Promise<void> {
    await this.#present(who, ...await this.#good(who), k3s);
  }

  /** A good proof: it admits exactly whom the chain wants. */
  async #present(who: number, proof: SignedProof, evidence: unknown, k3s: boolean): Promise<void> {
    const model = this.#models[who];
    assert(model);
    const isSigned = who !== ZK_LOGIN || this.#chain.epoch <= MAX_EPOCH;
    const wanted = this.#isWanted(who) && isSigned;
    const clusterFails = k3s && this.cluster.fault !== "none";
    const answer = await this.#register(proof, evidence, k3s);
    // What happened while the K3s token was made stands.
    const stillWanted = wanted && this.#isWanted(who);
    const said = JSON.stringify(answer);
    assertEquals(answer.status === 200, stillWanted && !clusterFails, said);
    if (!wanted) return;
    model.used.push({ proof, evidence });
    this.#end(model);
    // The session of an answer that was no session is known to nobody.
    if (answer.status !== 200) return;
    const now = this.world.time.now;
    const endsAtMs = Number(answer.body["session_expires_at"]) * 1000;
    assert(endsAtMs <= now + SESSION_TTL_MS && endsAtMs <= now + EVIDENCE_MS, said);
    model.session = {
      token: String(answer.body["session_token"]),
      endsAtMs,
      evidenceEndsAtMs: now + EVIDENCE_MS,
      sequence: 0,
      k3s: this.#handedOut(answer, k3s, endsAtMs, `worker-${who}`),
    };
  }

  #handedOut({ body }: Answer, k3s: boolean, endsAtMs: number, nodeId: string): Session["k3s"] {
    assertEquals("k3s" in body, k3s);
    if (!k3s) return undefined;
    const text: unknown = JSON.parse(JSON.stringify(body["k3s"])).token;
    const id = K3S_TOKEN.exec(String(text))?.[1];
    const made = this.cluster.tokens().find((one) => one.id === id);
    assert(id !== undefined && made !== undefined, "the token is in the cluster");
    assertEquals(made.admission, this.world.workers.liveAdmission(nodeId)?.id);
    assertEquals(made.expiresAtMs, endsAtMs);
    return { id, endsAtMs };
  }

  async #beat(who: number): Promise<void> {
    const [worker, model] = [this.#workers[who], this.#models[who]];
    assert(worker && model);
    const { session } = model;
    if (session === undefined) return;
    const now = this.world.time.now;
    const isDue = session.endsAtMs - now < SESSION_TTL_MS / 2;
    const canLast = Math.min(now + SESSION_TTL_MS, session.evidenceEndsAtMs);
    const renews = isDue && canLast - session.endsAtMs >= 1_000;
    const wasLive = this.#isLive(model);
    const sequence = session.sequence + 1;
    const answer = await this.#send(worker, session.token, sequence);
    if (answer.status === 429) return;
    const said = JSON.stringify(answer);
    assertEquals(answer.status === 200, wasLive && (this.#isWanted(who) || !renews), said);
    if (answer.status !== 200) return this.#end(model);
    model.session = { ...session, sequence };
    const renewed = answer.body["session_token"];
    assertEquals(typeof renewed === "string", renews, said);
    if (typeof renewed !== "string") return;
    const endsAtMs = Number(answer.body["session_expires_at"]) * 1000;
    assert(endsAtMs <= canLast, "no session outlives what its evidence relies on");
    model.session = { ...session, sequence, token: renewed, endsAtMs };
  }

  async #leave(who: number): Promise<void> {
    const [worker, model] = [this.#workers[who], this.#models[who]];
    assert(worker && model);
    const { session } = model;
    if (session === undefined) return;
    const wasLive = this.#isLive(model);
    const body = JSON.stringify({ node_id: worker.nodeId, timestamp: 1 });
    const bytes = new TextEncoder().encode(body);
    const headers = signedHeaders(worker, "leave", session.token, session.sequence + 1, bytes);
    const answer = await this.#post("/api/v1/nodes/leave", body, headers);
    if (answer.status === 429) return;
    assertEquals(answer.status === 200, wasLive, JSON.stringify(answer));
    this.#end(model);
  }

  /** Who has a session has one, and nobody else. */
  #checkSessions(act: Act): void {
    this.#models.forEach((model, i) => {
      const { session } = model;
      const live = this.#isLive(model);
      if (session !== undefined) {
        const found = this.#eyes.node(this.world.workers.authenticate(session.token));
        assertEquals(found, live ? `worker-${i}` : undefined, act);
      }
      for (const token of model.dead.slice(-2)) {
        const found = this.#eyes.node(this.world.workers.authenticate(token));
        assertEquals(found, undefined, `${act}: a dead session`);
      }
    });
  }

  /** The tokens in the cluster are those of the sessions that live. */
  #checkCluster(): void {
    const now = this.world.time.now;
    const wanted = this.#models.flatMap((model) => {
      const k3s = this.#isLive(model) ? model.session?.k3s : undefined;
      return k3s !== undefined && now < k3s.endsAtMs ? [k3s.id] : [];
    });
    const seen = this.#eyes.tokens(this.cluster.tokens().map(({ id }) => id));
    assertEquals(seen.toSorted(), wanted.toSorted(), "K3s tokens without a live session");
  }
}

function refuses({ status, body }: Answer): void {
  assert(status >= 400 && status < 600, JSON.stringify(body));
}
