/** The whole protocol against an attacker: see tests/fakes/admission_play.ts for what must hold. */
import { assert, assertRejects } from "@std/assert";
import fc from "fast-check";
import {
  type Act,
  ACTS,
  AdmissionPlay,
  type Breakage,
  type Eyes,
  HONEST,
  type Machines,
  machines,
  type Step,
  WORKERS,
} from "../tests/fakes/admission_play.ts";

const NIGHTLY = Deno.env.get("NAUTILUS_NIGHTLY") === "1";
const ZK_LOGIN = WORKERS - 1;

async function play(
  tees: Machines,
  steps: readonly Step[],
  eyes: Eyes = HONEST,
  breakage: Breakage = {},
): Promise<void> {
  await using scene = await AdmissionPlay.open(tees, eyes, breakage);
  for (const step of steps) await scene.step(step);
}

const step = (act: Act, who = 0, other = (who + 1) % WORKERS): Step => ({ act, who, other });

/** Every act once at least, where it has something to do. */
const SCRIPT: readonly Step[] = [
  ...Array.from({ length: WORKERS }, (_, who) => step("join", who)),
  step("join for K3s", 1),
  step("beat", 1),
  step("replay beat", 1),
  step("replay proof", 1),
  step("steal", 2, 1),
  step("swap proof", 0),
  step("wallet of another", 3),
  ...Array.from({ length: WORKERS }, (_, who) => step("wallet of another message", who)),
  step("evidence of none"),
  step("evidence of another worker"),
  step("evidence of another challenge"),
  step("evidence of another node key"),
  step("evidence of another master"),
  step("evidence of an unknown machine"),
  step("evidence of long ago"),
  step("K3s by a bare id", 1),
  step("tick"),
  step("K3s cluster refuses", 2),
  step("K3s answer is lost", 3),
  step("restart"),
  step("tick"),
  step("join", 3),
  step("half"),
  step("beat", 1),
  step("beat", 1),
  step("restart"),
  step("beat", 1),
  step("rotate node key", 4),
  step("sweep"),
  step("dead session", 4),
  step("node key again", 4),
  step("join for K3s", 4),
  step("epoch"),
  step("join", ZK_LOGIN),
  step("epoch"),
  step("join for K3s", ZK_LOGIN),
  step("slash", 4),
  step("deliver"),
  step("dead session", 4),
  step("tick"),
  step("join for K3s", 4),
  step("revoke", 3),
  step("sweep"),
  step("restore", 3),
  step("join", 3),
  step("deliver"),
  step("slash while judged", 3),
  step("slash while the K3s token is made", 2),
  step("tick"),
  step("chain down", 0),
  step("leave", ZK_LOGIN),
  step("minute"),
  step("tick"),
  step("half"),
  step("half"),
  step("half"),
  step("beat", 0),
  step("dead session", 0),
  step("tick"),
];

Deno.test("model: an attacker replays, reorders, swaps and races; only whom the chain wants is in", async () => {
  await using tees = await machines();
  const any = fc.record({
    act: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom<Act[]>("join", "join for K3s", "beat", "tick") },
      { weight: 5, arbitrary: fc.constantFrom(...ACTS) },
    ),
    who: fc.nat(WORKERS - 1),
    other: fc.nat(WORKERS - 1),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(any, { minLength: 5, maxLength: 40 }),
      (steps) => play(tees, steps),
    ),
    { numRuns: NIGHTLY ? 2_000 : 40 },
  );
});

Deno.test("model: the script has every act, and holds", async () => {
  const acted = new Set(SCRIPT.map(({ act }) => act));
  assert(ACTS.every((act) => acted.has(act)), ACTS.filter((act) => !acted.has(act)).join());
  await using tees = await machines();
  await play(tees, SCRIPT);
});

/** Tells the truth but for the `at`-th thing that is seen, which is there to be seen. */
function lying(at: number): Eyes & { readonly seen: number } {
  let seen = 0;
  const lies = () => seen++ === at;
  return {
    get seen() {
      return seen;
    },
    answer: (answer) =>
      !lies()
        ? answer
        : answer.status === 200
        ? { status: 403, body: { code: "a_lie" } }
        : { status: 200, body: { session_token: "a lie", session_expires_at: 0 } },
    node: (nodeId) => !lies() ? nodeId : nodeId === undefined ? "worker-0" : undefined,
    tokens: (ids) => !lies() ? ids : ids.length > 0 ? ids.slice(1) : ["aaaaaa"],
  };
}

Deno.test("model: it is not blind: whatever is seen otherwise than it was is noticed", async () => {
  await using tees = await machines();
  const honest = lying(-1);
  await play(tees, SCRIPT, honest);
  // Every one in the nightly form; otherwise those of every 31st place, the same each time.
  const stride = NIGHTLY ? 1 : 31;
  for (let at = 0; at < honest.seen; at += stride) {
    const eyes = lying(at);
    await assertRejects(() => play(tees, SCRIPT, eyes), Error, undefined, `lie ${at}`);
  }
});

const BROKEN: readonly [what: string, breakage: Breakage, steps: readonly Step[]][] = [
  ["an appraiser that looks at the policy alone and not at what the evidence is bound to", {
    appraiser: ({ appraise, ...rest }) => ({
      ...rest,
      appraise: async (evidence, _bound) => {
        const data = evidence.data;
        for (let at = 0; at + 64 <= data.length; at++) {
          const answer = await appraise(evidence, data.slice(at, at + 64));
          if (answer.accepted) return answer;
        }
        return await appraise(evidence, new Uint8Array(64));
      },
    }),
  }, [step("evidence of another worker")]],
  ["a full node that confirms every zkLogin signature", { zkLogin: true }, [
    step("wallet of another message", ZK_LOGIN),
  ]],
  ["a full node that does not look at zkLogin's epoch", { zkLogin: true }, [
    step("epoch"),
    step("join", ZK_LOGIN),
  ]],
  ["tokens of K3s that nobody deletes", {
    cluster: (cluster) => {
      const { fetch } = cluster.upstream;
      Object.assign(cluster.upstream, {
        fetch: (request: Request) =>
          request.method === "DELETE"
            ? Promise.resolve(new Response(null, { status: 200 }))
            : fetch(request),
      });
    },
  }, [step("join for K3s"), step("slash"), step("deliver"), step("tick")]],
];
for (const [what, breakage, steps] of BROKEN) {
  Deno.test(`model: ${what}: caught`, async () => {
    await using tees = await machines();
    await play(tees, steps);
    await assertRejects(() => play(tees, steps, HONEST, breakage));
  });
}
