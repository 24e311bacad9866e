/** `SubscribeCheckpoints` of the stand-in: every new checkpoint, for as long as somebody listens. */
import type { ServerResponse } from "node:http";
import { GrpcTypes } from "@mysten/sui/grpc";
import type { FakeChain } from "./chain.ts";
import { concat } from "./body.ts";
import { type Fault, type Faults, find } from "./faults.ts";
import { GrpcStatus, infoHeaders } from "./node.ts";

export const SUBSCRIBE = "SubscribeCheckpoints";

const CHECKPOINT_PATHS = new Set([
  "*",
  "sequence_number",
  "digest",
  "summary",
  "signature",
  "contents",
  "transactions",
  "objects",
]);
const FRAMES_OF_A_FLOOD = 2_000;

interface SubscriptionContext {
  readonly chain: FakeChain;
  readonly faults: Faults;
  /** Those that hit the request itself; they hold for all of the stream. */
  readonly hit: readonly Fault[];
  readonly response: ServerResponse;
  readonly frame: (flag: number, data: Uint8Array) => Uint8Array;
}

/** @throws {GrpcStatus} before anything is sent, where a node would refuse */
export function subscribe(request: Uint8Array, context: SubscriptionContext): void {
  const { chain, faults, hit, response, frame } = context;
  const { readMask } = GrpcTypes.SubscribeCheckpointsRequest.fromBinary(request);
  const paths = readMask?.paths ?? ["sequence_number", "digest"];
  const wrong = paths.find((path) => !CHECKPOINT_PATHS.has(path.split(".")[0] ?? ""));
  if (wrong !== undefined) throw new GrpcStatus(3, `invalid read_mask path: ${wrong}`);
  response.writeHead(200, {
    "content-type": "application/grpc-web+proto",
    ...infoHeaders(chain, hit),
  });
  response.flushHeaders();

  let sent = 0;
  const announce = (sequence: bigint) => {
    const now = [...hit, ...faults.take(SUBSCRIBE)];
    if (find(now, "hang") !== undefined) return;
    if (find(now, "end_stream") !== undefined) {
      response.end(frame(0x80, new TextEncoder().encode("grpc-status:0\r\n")));
      return;
    }
    const message = encode(shown(sequence, now), paths, now);
    const one = frame(0, find(now, "garbage") === undefined ? message : noise(message));
    const bytes = find(now, "duplicate_events") === undefined ? one : concat([one, one]);
    const drop = find(now, "drop");
    if (drop !== undefined && sent + bytes.length > drop.afterBytes) {
      response.write(bytes.subarray(0, Math.max(0, drop.afterBytes - sent)), () => {
        response.destroy();
      });
      return;
    }
    sent += bytes.length;
    response.write(bytes);
    if (find(now, "flood_checkpoints") === undefined) return;
    stop();
    flood(response, one);
  };
  const stop = chain.onCheckpoint(({ sequence }) => announce(sequence));
  response.once("close", stop);
}

/** The checkpoint that the node tells of, which may be behind, or made up. */
function shown(sequence: bigint, faults: readonly Fault[]): bigint {
  const lie = find(faults, "lie_checkpoint");
  if (lie !== undefined) return BigInt(lie.sequence);
  const lag = BigInt(find(faults, "lag")?.checkpoints ?? 0);
  return sequence > lag ? sequence - lag : 0n;
}

function encode(
  sequence: bigint,
  paths: readonly string[],
  faults: readonly Fault[],
): Uint8Array {
  const omitted = find(faults, "omit_fields")?.fields ?? [];
  const numbered = paths.includes("*") || paths.includes("sequence_number");
  return GrpcTypes.SubscribeCheckpointsResponse.toBinary({
    ...(omitted.includes("cursor") ? {} : { cursor: sequence }),
    checkpoint: { transactions: [], ...(numbered ? { sequenceNumber: sequence } : {}) },
  });
}

function noise(bytes: Uint8Array): Uint8Array {
  return bytes.map(() => 0xff);
}

/** The same message without end, as fast as the other side reads. */
function flood(response: ServerResponse, one: Uint8Array): void {
  const many = concat(Array.from({ length: FRAMES_OF_A_FLOOD }, () => one));
  let turn: ReturnType<typeof setTimeout> | undefined;
  const pump = () => {
    response.write(many, () => {
      if (!response.destroyed) turn = setTimeout(pump, 0);
    });
  };
  response.once("close", () => clearTimeout(turn));
  pump();
}
