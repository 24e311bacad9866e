/** Plain requests: kept connections and new ones, with TLS and without, next to the bare runtime. */
import { start } from "../../demo/process.ts";
import type { Row } from "../report.ts";
import { type Scenario, wrkRow } from "../scenario.ts";
import { NO_WRK } from "../wrk.ts";

const CLOSE = { Connection: "close" };

async function bare(kind: "serve" | "http", seconds: number): Promise<Row> {
  const { running, value: port } = await start({
    command: Deno.execPath(),
    args: ["run", "-A", "--no-check", new URL("../bare_server.ts", import.meta.url).pathname, kind],
    cwd: Deno.cwd(),
    env: Deno.env.toObject(),
    ready: (line) => /^port (\d+)$/.exec(line)?.[1],
    timeoutMs: 30_000,
  });
  await using _running = running;
  return await wrkRow(
    kind === "serve" ? "empty Deno.serve, for comparison" : "empty node:http, for comparison",
    running.pid,
    { url: `http://127.0.0.1:${port}/`, connections: 32, seconds },
  );
}

export const http: Scenario = {
  name: "http",
  async run(context) {
    if (!context.hasWrk) return [{ name: "GET /health", skipped: NO_WRK }];
    const { seconds } = context;
    const master = await context.master();
    const rows: Row[] = [];
    const measure = async (
      name: string,
      url: string,
      more: { headers?: Record<string, string>; connections?: number; atLeast?: number } = {},
    ) => {
      const { atLeast, connections = 32, headers = {} } = more;
      rows.push(
        await wrkRow(
          name,
          master.pid,
          { url, connections, seconds, headers },
          atLeast === undefined ? {} : { atLeast },
        ),
      );
    };
    rows.push(await bare("serve", seconds), await bare("http", seconds));
    await measure("GET /health, kept connections", `${master.url}/health`, { atLeast: 20_000 });
    await measure("GET /health, new connection each", `${master.url}/health`, { headers: CLOSE });
    await measure("GET /health, TLS, kept connections", `${master.tlsUrl}/health`);
    await measure("GET /health, TLS, new connection each", `${master.tlsUrl}/health`, {
      headers: CLOSE,
    });
    const [serve, , health] = rows;
    if (serve?.perSecond !== undefined && health?.perSecond !== undefined) {
      const ratio = health.perSecond / serve.perSecond * 100;
      rows[2] = { ...health, note: `${ratio.toFixed(0)} % of the empty Deno.serve` };
    }
    return rows;
  },
};
