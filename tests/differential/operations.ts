/** Random etcd operations over few keys, and how each is sent. Revisions are relative to "now". */
import fc from "fast-check";
import {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  RequestOp,
  TxnRequest,
  TxnResponse,
  WatchCreateRequest,
} from "../../api/etcd/messages.ts";
import { Compare } from "../../api/etcd/messages.ts";
import type { EtcdClient } from "../etcd/client.ts";

const encoder = new TextEncoder();
const utf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text);

/** Fewer than 13, so that etcd's unstable sort is stable. */
const KEYS = ["a", "a/1", "a/2", "a/3", "b", "b/1", "c", "d", "\x01", "z"];
const ENDS = ["", "", "b", "a0", "a/2", "\0", "zz", "a", "0"];
const VALUES = ["", "x", "y", "value-1", "value-2", "z".repeat(300)];
export const LEASES: readonly bigint[] = [11n, 12n, 7_000_000_000_000_000_001n];

/** A revision as an offset from the current one; undefined: 0, "none". */
export type RevisionChoice =
  | { readonly of: "now"; readonly offset: number }
  | { readonly of: "absolute"; readonly value: number };

export type Command =
  | {
    readonly type: "range";
    readonly request: Partial<RangeRequest>;
    readonly at: RevisionChoice | undefined;
  }
  | { readonly type: "put"; readonly request: Partial<PutRequest> }
  | { readonly type: "delete"; readonly request: Partial<DeleteRangeRequest> }
  | { readonly type: "txn"; readonly request: TxnRequest }
  | { readonly type: "compact"; readonly at: RevisionChoice; readonly physical: boolean }
  | { readonly type: "grant"; readonly id: bigint; readonly ttl: number }
  | { readonly type: "revoke"; readonly id: bigint }
  | { readonly type: "ttl"; readonly id: bigint; readonly keys: boolean }
  | { readonly type: "leases" }
  | {
    readonly type: "watch";
    readonly request: Partial<WatchCreateRequest>;
    readonly at: RevisionChoice | undefined;
  };

const key = fc.constantFrom(...KEYS).map(utf8);
const rangeEnd = fc.constantFrom(...ENDS).map(utf8);
const value = fc.constantFrom(...VALUES).map(utf8);
const anyKey = fc.oneof({ weight: 40, arbitrary: key }, {
  weight: 1,
  arbitrary: fc.constant(utf8("")),
});
const lease = fc.oneof(
  { weight: 5, arbitrary: fc.constant(0n) },
  { weight: 2, arbitrary: fc.constantFrom(...LEASES) },
);
const often = (weight: number) =>
  fc.oneof({ weight, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) });

const revision: fc.Arbitrary<RevisionChoice> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.integer({ min: -12, max: 2 })
      .map((offset): RevisionChoice => ({ of: "now", offset })),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(-1, 1, 2, 2 ** 40)
      .map((at): RevisionChoice => ({ of: "absolute", value: at })),
  },
);
const maybeRevision = fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, {
  weight: 1,
  arbitrary: revision,
});

const smallRevision = fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, {
  weight: 1,
  arbitrary: fc.integer({ min: 1, max: 40 }),
});

const rangeRequest: fc.Arbitrary<Partial<RangeRequest>> = fc.record({
  key: anyKey,
  rangeEnd,
  limit: fc.constantFrom(0, 0, 0, 1, 2, 3, 100, -1),
  // An unknown order or target makes etcd 3.4 panic.
  sortOrder: fc.constantFrom(0, 0, 0, 1, 2),
  sortTarget: fc.constantFrom(0, 0, 0, 1, 2, 3, 4),
  serializable: fc.boolean(),
  keysOnly: often(4),
  countOnly: often(6),
  minModRevision: smallRevision,
  maxModRevision: smallRevision,
  minCreateRevision: smallRevision,
  maxCreateRevision: smallRevision,
});

const putRequest: fc.Arbitrary<Partial<PutRequest>> = fc.record({
  key: anyKey,
  value,
  lease,
  prevKv: fc.boolean(),
  ignoreValue: often(8),
  ignoreLease: often(8),
}).chain((put) =>
  // Most of them make sense.
  fc.constantFrom(
    put,
    ...Array(4).fill({
      ...put,
      value: put.ignoreValue ? utf8("") : put.value,
      lease: put.ignoreLease ? 0n : put.lease,
    }),
  )
);

const deleteRequest: fc.Arbitrary<Partial<DeleteRangeRequest>> = fc.record({
  key: anyKey,
  rangeEnd: fc.oneof(
    { weight: 3, arbitrary: fc.constant(utf8("")) },
    { weight: 1, arbitrary: rangeEnd },
  ),
  prevKv: fc.boolean(),
});

const compare: fc.Arbitrary<Compare> = fc.record({
  result: fc.constantFrom(0, 1, 2, 3),
  target: fc.constantFrom(0, 1, 2, 3, 4),
  key: anyKey,
  rangeEnd: fc.oneof(
    { weight: 4, arbitrary: fc.constant(utf8("")) },
    { weight: 1, arbitrary: rangeEnd },
  ),
  number: fc.constantFrom(0, 0, 1, 2, 5, 20),
  value,
  lease,
}).map(({ result, target, key, rangeEnd, number, value, lease }) =>
  Compare.of({
    result,
    target,
    key,
    rangeEnd,
    ...(target === 0
      ? { version: number }
      : target === 1
      ? { createRevision: number }
      : target === 2
      ? { modRevision: number }
      : target === 3
      ? { value }
      : { lease }),
  })
);

/** In a transaction etcd itself panics where a key to be kept was deleted before: not asked for. */
const plainPut = fc.record({ key: anyKey, value, lease, prevKv: fc.boolean() });

function ops(depth: number): fc.Arbitrary<RequestOp[]> {
  const leaf: fc.WeightedArbitrary<RequestOp>[] = [
    {
      weight: 4,
      arbitrary: plainPut.map((put) => RequestOp.of({ requestPut: PutRequest.of(put) })),
    },
    {
      weight: 2,
      arbitrary: deleteRequest.map((request) =>
        RequestOp.of({ requestDeleteRange: DeleteRangeRequest.of(request) })
      ),
    },
    {
      weight: 3,
      arbitrary: fc.tuple(rangeRequest, fc.constantFrom(0, 0, 0, 0, 1, 2 ** 40)).map((
        [request, at],
      ) => RequestOp.of({ requestRange: RangeRequest.of({ ...request, revision: at }) })),
    },
  ];
  if (depth > 0) {
    leaf.push({
      weight: 2,
      arbitrary: txn(depth - 1).map((requestTxn) => RequestOp.of({ requestTxn })),
    });
  }
  return fc.array(fc.oneof(...leaf), { maxLength: 4 });
}

function txn(depth: number): fc.Arbitrary<TxnRequest> {
  return fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: ops(depth),
    failure: ops(depth),
  });
}

const leaseId = fc.oneof({ weight: 10, arbitrary: fc.constantFrom(...LEASES) }, {
  weight: 1,
  arbitrary: fc.constant(999n),
});

export const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 30,
    arbitrary: putRequest.map((request): Command => ({ type: "put", request })),
  },
  {
    weight: 25,
    arbitrary: fc.tuple(rangeRequest, maybeRevision)
      .map(([request, at]): Command => ({ type: "range", request, at })),
  },
  {
    weight: 8,
    arbitrary: deleteRequest.map((request): Command => ({ type: "delete", request })),
  },
  { weight: 20, arbitrary: txn(2).map((request): Command => ({ type: "txn", request })) },
  {
    weight: 2,
    arbitrary: fc.tuple(revision, fc.boolean())
      .map(([at, physical]): Command => ({ type: "compact", at, physical })),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(leaseId, fc.constantFrom(1, 600, 3600, 2 ** 40))
      .map(([id, ttl]): Command => ({ type: "grant", id, ttl })),
  },
  { weight: 2, arbitrary: leaseId.map((id): Command => ({ type: "revoke", id })) },
  {
    weight: 3,
    arbitrary: fc.tuple(leaseId, fc.boolean())
      .map(([id, keys]): Command => ({ type: "ttl", id, keys })),
  },
  { weight: 1, arbitrary: fc.constant<Command>({ type: "leases" }) },
  {
    weight: 3,
    arbitrary: fc.tuple(
      fc.record({
        key,
        rangeEnd,
        prevKv: fc.boolean(),
        filters: fc.constantFrom<number[][]>([], [], [0], [1]),
        fragment: fc.boolean(),
      }),
      maybeRevision,
    ).map(([request, at]): Command => ({ type: "watch", request, at })),
  },
);

export function resolveRevision(choice: RevisionChoice | undefined, now: number): number {
  if (choice === undefined) return 0;
  return choice.of === "now" ? now + choice.offset : choice.value;
}

const KV = "/etcdserverpb.KV/";
const LEASE = "/etcdserverpb.Lease/";

/** Sends one command (not a watch) and gives its answer as comparable data. */
export async function send(client: EtcdClient, command: Command, now: number): Promise<unknown> {
  switch (command.type) {
    case "range": {
      const revision = resolveRevision(command.at, now);
      const request = { ...command.request, revision };
      return await client.call(KV + "Range", RangeRequest, RangeResponse, request);
    }
    case "put":
      return await client.call(KV + "Put", PutRequest, PutResponse, command.request);
    case "delete":
      return await client.call(
        KV + "DeleteRange",
        DeleteRangeRequest,
        DeleteRangeResponse,
        command.request,
      );
    case "txn":
      return await client.call(KV + "Txn", TxnRequest, TxnResponse, command.request);
    case "compact": {
      const revision = resolveRevision(command.at, now);
      const { physical } = command;
      return await client.call(KV + "Compact", CompactionRequest, CompactionResponse, {
        revision,
        physical,
      });
    }
    case "grant":
      return await client.call(LEASE + "LeaseGrant", LeaseGrantRequest, LeaseGrantResponse, {
        id: command.id,
        ttl: command.ttl,
      });
    case "revoke":
      return await client.call(LEASE + "LeaseRevoke", LeaseRevokeRequest, LeaseRevokeResponse, {
        id: command.id,
      });
    case "ttl":
      return await client.call(
        LEASE + "LeaseTimeToLive",
        LeaseTimeToLiveRequest,
        LeaseTimeToLiveResponse,
        { id: command.id, keys: command.keys },
      );
    case "leases":
      return await client.call(LEASE + "LeaseLeases", LeaseLeasesRequest, LeaseLeasesResponse, {});
    case "watch":
      throw new TypeError("a watch is not a call");
  }
}
