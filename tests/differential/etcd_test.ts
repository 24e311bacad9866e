/**
 * The same random operations, in the same order, against Debian's etcd and ours: every answer,
 * header and event stream compared. A difference is shrunk to the shortest sequence that shows it.
 */
import { assert } from "@std/assert";
import fc from "fast-check";
import { EtcdClient } from "../etcd/client.ts";
import { startOwnEtcd } from "../etcd/own.ts";
import { etcdMissing, startReferenceEtcd } from "../etcd/reference.ts";
import { compareSequence } from "./comparison.ts";
import { command } from "./operations.ts";

const nightly = Deno.env.get("NAUTILUS_NIGHTLY") === "1";
const OPERATIONS = nightly ? 100_000 : 4_000;
const SEQUENCE = 60;
const seed = Number(Deno.env.get("NAUTILUS_TEST_SEED") ?? Date.now() % 1_000_000);

const missing = await etcdMissing();

Deno.test({
  name: `etcd server: answers as Debian's etcd does, ${OPERATIONS} operations, seed ${seed}` +
    (missing === undefined ? "" : `: ${missing}`),
  ignore: missing !== undefined,
  async fn() {
    await using own = await startOwnEtcd({ clock: () => performance.now() });
    await using etcd = await startReferenceEtcd();
    const sides = {
      own: await own.connect(),
      reference: await EtcdClient.connect({ host: etcd.host, port: etcd.port }),
    };
    let compared = 0;
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.array(command, { minLength: SEQUENCE / 2, maxLength: SEQUENCE, size: "max" }),
          async (commands) => {
            compared += await compareSequence(sides, commands);
          },
        ),
        { seed, numRuns: Math.ceil(OPERATIONS / (SEQUENCE * 0.7)), endOnFailure: false },
      );
    } finally {
      await sides.own.close();
      await sides.reference.close();
    }
    assert(compared >= OPERATIONS * 0.9, `only ${compared} operations were compared`);
  },
});
