/** A node's attestor over the real simulation backend, for benchmarks of what a client asks. */
import type { NodeAttestor } from "../../api/deps.ts";
import { createNodeAttestor, nodeIdentity } from "../../api/node_attestor.ts";
import { createSimulationFactory } from "../../backends/simulation/backend.ts";
import { randomBytes } from "./api.ts";

/** Its device lies in `folder`. */
export async function simulatedAttestor(folder: string): Promise<NodeAttestor> {
  const backend = await createSimulationFactory({
    measureProgram: () => Promise.resolve(new Uint8Array(48)),
    random: randomBytes,
    clock: Date.now,
  }).open({ dataDir: folder, create: true });
  if (backend.attester === undefined) throw new TypeError("the simulation attests");
  return createNodeAttestor({
    tee: {
      kind: backend.kind,
      securityLevel: backend.securityLevel,
      covers: backend.covers,
      measurement: await backend.measurement(),
      sealPolicies: [],
      attests: true,
    },
    attester: backend.attester,
    identity: nodeIdentity(randomBytes(32)),
    tls: undefined,
    configDigest: () => new Uint8Array(32),
    storeId: randomBytes(16),
    incarnation: randomBytes(16),
    bootId: randomBytes(16),
    storeHead: () => ({ sequence: 1n, digest: new Uint8Array(64) }),
    clock: Date.now,
    reattestAfterMs: 3_600_000,
  });
}
