/** What several answers of the GraphQL service are made of. */
import { toBase58 } from "@mysten/sui/utils";
import { blake2b } from "@noble/hashes/blake2.js";
import { GraphQLError } from "graphql";
import type { FakeChain } from "./chain.ts";

/** A refusal with its `extensions.code`. */
export function refused(code: string, message: string): GraphQLError {
  return new GraphQLError(message, { extensions: { code } });
}

interface CheckpointAnswer {
  readonly sequenceNumber: number;
  readonly digest: string;
  readonly timestamp: string;
  readonly networkTotalTransactions: number;
}

/** Null for what lies beyond the checkpoint that is looked at. */
export function checkpoint(
  chain: FakeChain,
  sequence: bigint,
  served: bigint,
): CheckpointAnswer | null {
  const found = sequence <= served ? chain.checkpointAt(sequence) : undefined;
  if (found === undefined) return null;
  const name = new TextEncoder().encode(`${chain.name}/checkpoint/${sequence}`);
  return {
    sequenceNumber: Number(sequence),
    digest: sequence === 0n ? chain.chainId : toBase58(blake2b(name, { dkLen: 32 })),
    timestamp: new Date(found.timestampMs).toISOString(),
    networkTotalTransactions: Number(found.totalTransactions),
  };
}
