/** A worker's session over a link that loses connections. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { JoinRefused } from "./worker_join.ts";
import { KeptConnectionLost, type LinkAnswer, type LinkRequest } from "./worker_link.ts";
import { WorkerSession } from "./worker_session.ts";

const FIGURES = {
  usage: { cpu_percent: 0, memory_percent: 0, disk_percent: 0 },
  capacity: undefined,
};

/** A session whose link answers by a function; the clock stands still. */
function sessionWith(answer: (request: LinkRequest, asked: number) => Promise<LinkAnswer>) {
  const asked: LinkRequest[] = [];
  const link = {
    send(request: LinkRequest) {
      asked.push(request);
      return answer(request, asked.length);
    },
    async *lines() {},
    [Symbol.dispose]() {},
  };
  const nodeKey = {
    spki: new Uint8Array(44),
    sign: (bytes: Uint8Array) => Promise.resolve(new Uint8Array(64).fill(bytes.length & 0xff)),
  };
  const facts = {
    chainId: "c",
    clusterId: new Uint8Array(16),
    measurement: new Uint8Array(32),
    identityKey: new Uint8Array(44),
    tlsKey: new Uint8Array(0),
  };
  const joined = { link, sessionToken: "t", sessionExpiresAtMs: 0, k3s: undefined, facts };
  return { asked, session: new WorkerSession(joined, "n", nodeKey, () => 1_000) };
}

const taken: LinkAnswer = { status: 200, retryAfterSeconds: undefined, body: "{}" };

Deno.test("beat() is signed anew, not sent again, where the kept connection breaks off", async () => {
  const { asked, session } = sessionWith((_request, n) =>
    n === 1 ? Promise.reject(new KeptConnectionLost("gone")) : Promise.resolve(taken)
  );
  assertEquals(await session.beat(FIGURES, 0), false);
  const sequences = asked.map(({ headers }) => Number(headers?.["x-nautilus-sequence"]));
  assertEquals(sequences.length, 2);
  // The first may have arrived: the same again would be a replay, and end the session.
  assert((sequences[1] ?? 0) > (sequences[0] ?? 0));
});

Deno.test("beat() fails where the new connection breaks off, too", async () => {
  const { asked, session } = sessionWith((_request, n) =>
    Promise.reject(n === 1 ? new KeptConnectionLost("gone") : new TypeError("refused"))
  );
  await assertRejects(() => session.beat(FIGURES, 0), TypeError, "refused");
  assertEquals(asked.length, 2);
});

Deno.test("leave() is done where the session is over already, and refused where it is not", async () => {
  const refusal = (code: string): LinkAnswer => ({
    status: 401,
    retryAfterSeconds: undefined,
    body: JSON.stringify({ code, detail: "d" }),
  });
  const gone = sessionWith((_request, n) =>
    n === 1
      ? Promise.reject(new KeptConnectionLost("gone"))
      : Promise.resolve(refusal("session_unknown"))
  );
  await gone.session.leave();
  assertEquals(gone.asked.map(({ path }) => path), ["/api/v1/nodes/leave", "/api/v1/nodes/leave"]);
  const refused = sessionWith(() => Promise.resolve(refusal("signature_invalid")));
  await assertRejects(() => refused.session.leave(), JoinRefused, "signature_invalid");
});

Deno.test("leave() takes its own time only, and beat() and pods() are given up by their signal", async () => {
  const { asked, session } = sessionWith(() => Promise.resolve(taken));
  const { signal } = new AbortController();
  await session.beat(FIGURES, 0, signal);
  await session.leave();
  await assertRejects(() => session.pods(new Set(), signal).next()); // `{}` is no list
  assertEquals(asked.map((request) => request.signal === signal), [true, false, true]);
  assert(asked[1]?.signal !== undefined);
});
