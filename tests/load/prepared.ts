/** Requests written to a file for wrk, so that nothing is signed while it is measured. */
import { type LoadWorker, nextBeat } from "./population.ts";

/** `rounds` heartbeats of every worker, in turn. */
export async function writeBeats(
  path: string,
  workers: readonly LoadWorker[],
  count: number,
): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  const writer = file.writable.getWriter();
  let text = "";
  for (let i = 0; i < count; i++) {
    const worker = workers[i % workers.length];
    if (worker === undefined) throw new Error("no workers");
    const { headers, body } = nextBeat(worker);
    text += framed(request("POST", "/api/v1/nodes/heartbeat", headers, body));
    if (text.length < 1 << 20) continue;
    await writer.write(new TextEncoder().encode(text));
    text = "";
  }
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
}

/** HTTP/1.1, kept alive; ASCII. */
export function request(
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): string {
  const lines = [
    `${method} ${path} HTTP/1.1`,
    "Host: localhost",
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(body === "" ? [] : ["Content-Type: application/json", `Content-Length: ${body.length}`]),
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

function framed(text: string): string {
  return `@${text.length}\n${text}`;
}
