/**
 * The control API of the stand-in: JSON over HTTP under `/control/`, for demos and integration
 * tests in other processes. See README.md for every request. Strict: unknown fields are refused.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import * as v from "valibot";
import { canonicalAddress } from "../../../sui/address.ts";
import { WORKER_STATUSES } from "../../../sui/bcs.ts";
import { readBody } from "./body.ts";
import type { Faults } from "./faults.ts";
import type { FakeGateway } from "./gateway.ts";

const address = v.pipe(
  v.string(),
  v.transform((text) => canonicalAddress(text)),
  v.string("expected 0x and 1 to 64 hex digits"),
);
const amount = v.pipe(v.string(), v.regex(/^[0-9]{1,20}$/), v.transform((text) => BigInt(text)));
const hex = (bytes?: number) =>
  v.pipe(
    v.string(),
    v.regex(bytes === undefined ? /^([0-9a-f]{2})*$/ : new RegExp(`^[0-9a-f]{${bytes * 2}}$`)),
    v.transform((text) => Uint8Array.fromHex(text)),
  );
const text = v.string();
const milliseconds = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const status = v.picklist(WORKER_STATUSES);

const Token = v.strictObject({
  owner: address,
  node_id: text,
  stake_amount: v.optional(amount),
  status: v.optional(status),
  permissions: v.optional(v.array(text)),
  node_key_hash: v.optional(hex(32)),
  issued_at_ms: v.optional(milliseconds),
  expires_at_ms: v.optional(milliseconds),
  cluster_id: v.optional(hex(16)),
  register: v.optional(v.boolean()),
});

const Entry = v.strictObject({
  token_id: address,
  stake_amount: v.optional(amount),
  status: v.optional(status),
  revoked: v.optional(v.boolean()),
});

const Schedule = v.strictObject({
  requester: address,
  method: text,
  resource: text,
  namespace: text,
  name: text,
  payload: text,
  request_id: v.optional(text),
  seal_token: v.optional(address),
  priority: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
  assigned_worker: v.optional(text),
  count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100_000))),
});

const Request = v.strictObject({
  sender: address,
  method: text,
  path: text,
  namespace: text,
  resource_type: text,
  payload: text,
});

const RawEvent = v.strictObject({
  sender: address,
  name: text,
  contents: hex(),
  count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100_000)), 1),
});
const Fund = v.strictObject({ owner: address, mist: amount });
const MasterCap = v.strictObject({ owner: address });
const ZkLogin = v.strictObject({ signature: text, address, message: hex() });
const Checkpoint = v.strictObject({
  count: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100_000))),
  auto: v.optional(v.boolean()),
});
const Prune = v.strictObject({ below: amount });

const scope = {
  method: v.optional(text),
  times: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
};
const FaultBody = v.variant("kind", [
  v.strictObject({ kind: v.literal("http_status"), status: v.number(), ...scope }),
  v.strictObject({
    kind: v.literal("grpc_status"),
    code: v.number(),
    message: v.optional(text),
    ...scope,
  }),
  v.strictObject({ kind: v.literal("hang"), ...scope }),
  v.strictObject({ kind: v.literal("delay"), milliseconds, ...scope }),
  v.strictObject({ kind: v.literal("drop"), afterBytes: milliseconds, ...scope }),
  v.strictObject({ kind: v.literal("html"), ...scope }),
  v.strictObject({ kind: v.literal("garbage"), ...scope }),
  v.strictObject({ kind: v.literal("flood"), ...scope }),
  v.strictObject({ kind: v.literal("lag"), checkpoints: milliseconds, ...scope }),
  v.strictObject({ kind: v.literal("wrong_object"), id: address, ...scope }),
  v.strictObject({
    kind: v.literal("lie_object"),
    id: address,
    type: v.optional(text),
    ownerAddress: v.optional(address),
    contentsHex: v.optional(v.pipe(text, v.regex(/^([0-9a-f]{2})*$/))),
    version: v.optional(v.pipe(text, v.regex(/^[0-9]+$/))),
    digest: v.optional(text),
    ...scope,
  }),
  v.strictObject({ kind: v.literal("hide_object"), id: address, ...scope }),
  v.strictObject({ kind: v.literal("omit_fields"), fields: v.array(text), ...scope }),
  v.strictObject({ kind: v.literal("duplicate_events"), ...scope }),
  v.strictObject({ kind: v.literal("reverse_events"), ...scope }),
  v.strictObject({ kind: v.literal("replay_events"), ...scope }),
  v.strictObject({ kind: v.literal("no_query_end"), ...scope }),
  v.strictObject({ kind: v.literal("lost_answer"), ...scope }),
  v.strictObject({ kind: v.literal("end_stream"), ...scope }),
  v.strictObject({ kind: v.literal("flood_checkpoints"), ...scope }),
  v.strictObject({
    kind: v.literal("lie_checkpoint"),
    sequence: v.pipe(text, v.regex(/^[0-9]{1,20}$/)),
    ...scope,
  }),
  v.strictObject({ kind: v.literal("other_chain"), chainId: text, ...scope }),
]);

interface ControlContext {
  readonly gateway: FakeGateway;
  readonly faults: Faults;
  readonly path: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** Answers one control request. */
export async function control(context: ControlContext): Promise<void> {
  const { request, response } = context;
  const body = new TextDecoder().decode(await readBody(request, 1024 * 1024));
  let code = 200;
  let result: unknown;
  try {
    result = dispatch(context, `${request.method} ${context.path}`, body);
    if (result === undefined) {
      code = 404;
      result = { error: `no ${request.method} ${context.path}` };
    }
  } catch (error) {
    code = 400;
    result = { error: error instanceof Error ? error.message : String(error) };
  }
  response.writeHead(code, { "content-type": "application/json" });
  response.end(
    JSON.stringify(result, (_key, value) => typeof value === "bigint" ? `${value}` : value),
  );
}

function dispatch(context: ControlContext, what: string, body: string): unknown {
  const { gateway, faults } = context;
  const { chain } = gateway;
  const parse = <T extends v.GenericSchema>(schema: T): v.InferOutput<T> => {
    const json: unknown = JSON.parse(body === "" ? "{}" : body);
    const result = v.safeParse(schema, json);
    if (result.success) return result.output;
    const [issue] = result.issues;
    throw new Error(`${v.getDotPath(issue) ?? "body"}: ${issue.message}`);
  };
  switch (what) {
    case "GET /control/state":
      return {
        chain_id: chain.chainId,
        package_id: gateway.packageId,
        registry_id: gateway.registryId,
        cluster_id: gateway.clusterId.toHex(),
        checkpoint: chain.tip.sequence,
        lowest_checkpoint: chain.lowest,
        events: chain.events.length,
        faults: faults.active,
      };
    case "POST /control/token": {
      const b = parse(Token);
      const made = gateway.createToken({
        owner: b.owner,
        nodeId: b.node_id,
        ...(b.stake_amount === undefined ? {} : { stakeMist: b.stake_amount }),
        ...(b.status === undefined ? {} : { status: b.status }),
        ...(b.permissions === undefined ? {} : { permissions: b.permissions }),
        ...(b.node_key_hash === undefined ? {} : { nodeKeyHash: b.node_key_hash }),
        ...(b.issued_at_ms === undefined ? {} : { issuedAtMs: b.issued_at_ms }),
        ...(b.expires_at_ms === undefined ? {} : { expiresAtMs: b.expires_at_ms }),
        ...(b.cluster_id === undefined ? {} : { clusterId: b.cluster_id }),
        ...(b.register === undefined ? {} : { register: b.register }),
      });
      return { token_id: made.tokenId, token: made.token, digest: made.digest };
    }
    case "POST /control/entry": {
      const b = parse(Entry);
      return gateway.setEntry(b.token_id, {
        ...(b.stake_amount === undefined ? {} : { stakeMist: b.stake_amount }),
        ...(b.status === undefined ? {} : { status: b.status }),
        ...(b.revoked === undefined ? {} : { revoked: b.revoked }),
      });
    }
    case "POST /control/schedule": {
      const b = parse(Schedule);
      const schedule = (name: string, requestId: string | undefined) =>
        gateway.schedule({
          requester: b.requester,
          method: b.method,
          resource: b.resource,
          namespace: b.namespace,
          name,
          payload: b.payload,
          ...(requestId === undefined ? {} : { requestId }),
          ...(b.seal_token === undefined ? {} : { sealTokenId: b.seal_token }),
          ...(b.priority === undefined ? {} : { priority: b.priority }),
          ...(b.assigned_worker === undefined ? {} : { assignedWorker: b.assigned_worker }),
        });
      let made = schedule(b.name, b.request_id);
      for (let i = 2; i <= (b.count ?? 1); i++) {
        made = schedule(`${b.name}-${i}`, b.request_id && `${b.request_id}-${i}`);
      }
      return { digest: made.digest, request_id: made.requestId };
    }
    case "POST /control/request": {
      const b = parse(Request);
      return gateway.request({ ...b, resourceType: b.resource_type });
    }
    case "POST /control/event": {
      const b = parse(RawEvent);
      let digest = "";
      for (let i = 0; i < b.count; i++) {
        ({ digest } = gateway.emit(b.sender, b.name, b.contents));
      }
      return { digest };
    }
    case "POST /control/checkpoint": {
      const b = parse(Checkpoint);
      if (b.auto !== undefined) chain.autoCheckpoint = b.auto;
      const tip = b.auto === undefined || b.count !== undefined
        ? chain.advance(b.count ?? 1)
        : chain.tip;
      return { checkpoint: tip.sequence };
    }
    case "POST /control/fund": {
      const b = parse(Fund);
      return { coin_id: gateway.fund(b.owner, b.mist).coinId };
    }
    case "POST /control/master_cap":
      return { cap_id: gateway.issueMasterCap(parse(MasterCap).owner).capId };
    case "POST /control/zklogin": {
      const b = parse(ZkLogin);
      chain.zkLogin.set(b.signature, { address: b.address, message: b.message });
      return { confirmed: chain.zkLogin.size };
    }
    case "POST /control/prune":
      chain.prune(parse(Prune).below);
      return { lowest_checkpoint: chain.lowest };
    case "POST /control/fault":
      faults.set(stripUndefined(parse(FaultBody)));
      return { faults: faults.active };
    case "DELETE /control/fault":
      faults.clear();
      return { faults: [] };
    default:
      return undefined;
  }
}

type WithoutUndefined<T> = T extends unknown ? { [K in keyof T]: Exclude<T[K], undefined> }
  : never;

/** valibot leaves absent optional fields out; this tells the type checker so, and makes sure. */
function stripUndefined<T extends object>(value: T): WithoutUndefined<T>;
function stripUndefined(value: object): object {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined));
}
