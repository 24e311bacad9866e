/** Well-behaved requests while somebody else floods the master with refused ones. */
import { LoadClient } from "../client.ts";
import type { Master } from "../master.ts";
import { quantile, type Row } from "../report.ts";
import { pause, type Scenario } from "../scenario.ts";
import { NO_WRK, wrk } from "../wrk.ts";

const WELL_BEHAVED = "127.9.9.9";
const GAP_MS = 4;

/** Delays of a client with credentials that reads a namespace, one request after the other. */
async function wellBehaved(master: Master, until: Promise<unknown>): Promise<number[]> {
  const client = new LoadClient(master.port, WELL_BEHAVED);
  const headers = { Authorization: `Bearer ${master.adminToken}` };
  const delays: number[] = [];
  let over = false;
  until.finally(() => over = true).catch(() => {}); // awaited, and thrown, by the caller
  while (!over) {
    const begun = performance.now();
    const { status } = await client.request("GET", "/api/v1/namespaces/default", headers);
    delays.push(performance.now() - begun);
    if (status !== 200) throw new Error(`the well-behaved client got ${status}`);
    await pause(GAP_MS);
  }
  client.close();
  return delays;
}

export const flood: Scenario = {
  name: "flood",
  async run(context) {
    if (!context.hasWrk) return [{ name: "p99 under a flood", skipped: NO_WRK }];
    await using master = await context.freshMaster();
    const { seconds } = context;
    await wellBehaved(master, pause(1_000)); // warm
    const quiet = await wellBehaved(master, pause(seconds * 1_000));
    const base = quantile(quiet, 0.99) ?? 0;
    const rows: Row[] = [{
      name: "GET namespace, nobody else",
      medianMs: quantile(quiet, 0.5),
      p99Ms: base,
    }];
    const kinds = [
      ["unknown tokens, kept connections", "/api/v1/pods", { Authorization: "Bearer x".repeat(3) }],
      ["unknown tokens, new connections", "/api/v1/pods", {
        Authorization: "Bearer nobody",
        Connection: "close",
      }],
      ["paths that are not there", "/nothing", {}],
    ] as const;
    for (const [name, path, headers] of kinds) {
      const flooding = wrk({ url: `${master.url}${path}`, connections: 64, seconds, headers });
      const delays = await wellBehaved(master, flooding);
      const { perSecond } = await flooding;
      const p99 = quantile(delays, 0.99) ?? Infinity;
      rows.push({
        name: `GET namespace, flood of ${name}`,
        perSecond,
        medianMs: quantile(delays, 0.5),
        p99Ms: p99,
        target: { text: "p99 <= 3x", met: p99 <= 3 * base },
        note: `${(p99 / base).toFixed(1)}x; per second: refused requests`,
      });
    }
    return rows;
  },
};
