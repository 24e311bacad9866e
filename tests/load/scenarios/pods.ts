/** Lists of 1,000 pods, and a change told to 1,000 watchers. */
import { connect, type Socket } from "node:net";
import { LoadClient } from "../client.ts";
import type { Master } from "../master.ts";
import { request } from "../prepared.ts";
import { cpuPercent, processFigures } from "../process_figures.ts";
import { quantile, type Row } from "../report.ts";
import { pause, type Scenario, wrkRow } from "../scenario.ts";
import { NO_WRK } from "../wrk.ts";

const PODS = "/api/v1/namespaces/default/pods";
const COUNT = 1_000;
const WATCHERS = 1_000;
const CHANGES = 50;

function authorized({ adminToken }: Master): Record<string, string> {
  return { Authorization: `Bearer ${adminToken}` };
}

function pod(name: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, labels: { app: "load" } },
    spec: { containers: [{ name: "c", image: "registry.example/app:1", args: ["x".repeat(400)] }] },
  });
}

export const lists: Scenario = {
  name: "list",
  async run(context) {
    if (!context.hasWrk) return [{ name: "GET 1,000 pods", skipped: NO_WRK }];
    const master = await context.master();
    const client = new LoadClient(master.port, "127.0.0.1");
    for (let i = 0; i < COUNT; i++) {
      const answer = await client.request("POST", PODS, authorized(master), pod(`p${i}`));
      if (answer.status !== 201) throw new Error(`pod: ${answer.status} ${answer.body}`);
    }
    client.close();
    return [
      await wrkRow("GET 1,000 pods", master.pid, {
        url: `${master.url}${PODS}`,
        connections: 4,
        seconds: context.seconds,
        headers: authorized(master),
      }, { atLeast: 150 }),
    ];
  },
};

/** Counts what arrives: one line of a watch is one change. */
class Watcher {
  readonly #socket: Socket;
  readonly opened: Promise<void>;

  constructor(master: Master, arrived: () => void) {
    const opened = Promise.withResolvers<void>();
    this.opened = opened.promise;
    this.#socket = connect(master.port, "127.0.0.1", () => {
      const path = "/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=0";
      this.#socket.write(request("GET", path, authorized(master), ""));
    });
    this.#socket.setEncoding("latin1");
    let begun = false;
    this.#socket.on("data", (chunk: string) => {
      if (!begun) {
        if (!chunk.startsWith("HTTP/1.1 200")) return opened.reject(new Error(chunk.slice(0, 300)));
        begun = true;
        opened.resolve();
        return;
      }
      if (chunk.includes('"sequence"')) arrived();
    });
    this.#socket.on("error", opened.reject);
  }

  close(): void {
    this.#socket.destroy();
  }
}

export const watches: Scenario = {
  name: "watch",
  async run(context) {
    // Its own: what others stored would be told to every watcher first.
    await using master = await context.freshMaster();
    let sentAt = 0;
    let missing = 0;
    let all = Promise.withResolvers<void>();
    const delays: number[] = [];
    const watchers: Watcher[] = [];
    for (let i = 0; i < WATCHERS; i += 100) {
      const some = Array.from({ length: 100 }, () =>
        new Watcher(master, () => {
          delays.push(performance.now() - sentAt);
          if (--missing === 0) all.resolve();
        }));
      watchers.push(...some);
      await Promise.all(some.map(({ opened }) => opened));
    }
    await pause(500);
    const client = new LoadClient(master.port, "127.0.0.1");
    const before = processFigures(master.pid);
    const begun = performance.now();
    for (let i = 0; i < CHANGES; i++) {
      missing = WATCHERS;
      all = Promise.withResolvers<void>();
      const body = JSON.stringify({
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: `c${i}` },
        data: { sequence: String(i), text: "x".repeat(200) },
      });
      sentAt = performance.now();
      const answer = client.request(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        authorized(master),
        body,
      );
      await all.promise;
      const { status } = await answer;
      if (status !== 201) throw new Error(`configmap: ${status}`);
      await pause(20);
    }
    const after = processFigures(master.pid);
    client.close();
    for (const watcher of watchers) watcher.close();
    const p99 = quantile(delays, 0.99) ?? Infinity;
    const row: Row = {
      name: "one change to 1,000 watchers",
      perSecond: delays.length / (performance.now() - begun) * 1000,
      medianMs: quantile(delays, 0.5),
      p99Ms: p99,
      cpuPercent: cpuPercent(before, after),
      residentMB: after.residentMB,
      target: { text: "p99 <= 50 ms", met: p99 <= 50 },
      note: "from the writer's request to each watcher's line",
    };
    return [row];
  },
};
