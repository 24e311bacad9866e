/**
 * The messages of etcd v3 as its public rpc.proto and kv.proto (3.5) number them. int64 fields that
 * are identifiers are bigints; revisions, counts and sizes are numbers.
 */
import { bareHeader, header } from "./response_header.ts";
import {
  bigint64,
  biguint64,
  bool,
  bytes,
  enumeration,
  int64,
  type Message,
  message,
  named,
  oneof,
  repeated,
  string,
  submessage,
} from "./protobuf/schema.ts";

export type { Identity, ResponseHeader } from "./response_header.ts";

const SORT_ORDERS = ["NONE", "ASCEND", "DESCEND"];
const SORT_TARGETS = ["KEY", "VERSION", "CREATE", "MOD", "VALUE"];
const COMPARE_RESULTS = ["EQUAL", "GREATER", "LESS", "NOT_EQUAL"];
const COMPARE_TARGETS = ["VERSION", "CREATE", "MOD", "VALUE", "LEASE"];
const ALARMS = ["NONE", "NOSPACE", "CORRUPT"];

export const SORT_ORDER = { none: 0, ascend: 1, descend: 2 } as const;
export const SORT_TARGET = { key: 0, version: 1, create: 2, mod: 3, value: 4 } as const;
export const ALARM = { none: 0, nospace: 1, corrupt: 2 } as const;
export const ALARM_ACTION = { get: 0, activate: 1, deactivate: 2 } as const;

type Of<M> = M extends Message<infer T> ? T : never;

export const KeyValue = message("KeyValue", {
  key: bytes(1),
  createRevision: int64(2),
  modRevision: int64(3),
  version: int64(4),
  value: bytes(5),
  lease: bigint64(6),
});
export type KeyValue = Of<typeof KeyValue>;

export const Event = message("Event", {
  type: enumeration(1, ["PUT", "DELETE"]),
  kv: submessage(2, () => KeyValue),
  prevKv: submessage(3, () => KeyValue),
});
export type Event = Of<typeof Event>;

// ---- KV

export const RangeRequest = message("RangeRequest", {
  key: bytes(1),
  rangeEnd: bytes(2),
  limit: int64(3),
  revision: int64(4),
  sortOrder: enumeration(5, SORT_ORDERS),
  sortTarget: enumeration(6, SORT_TARGETS),
  serializable: bool(7),
  keysOnly: bool(8),
  countOnly: bool(9),
  minModRevision: int64(10),
  maxModRevision: int64(11),
  minCreateRevision: int64(12),
  maxCreateRevision: int64(13),
});
export type RangeRequest = Of<typeof RangeRequest>;

const rangeAnswer = {
  kvs: repeated(submessage(2, () => KeyValue)),
  more: bool(3),
  count: int64(4),
};
export const RangeResponse = message("RangeResponse", { header: header(), ...rangeAnswer });
export type RangeResponse = Of<typeof RangeResponse>;
export const RangeOpResponse = message("RangeResponse", { header: bareHeader(), ...rangeAnswer });

export const PutRequest = message("PutRequest", {
  key: bytes(1),
  value: bytes(2),
  lease: bigint64(3),
  prevKv: bool(4),
  ignoreValue: bool(5),
  ignoreLease: bool(6),
});
export type PutRequest = Of<typeof PutRequest>;

const putAnswer = { prevKv: submessage(2, () => KeyValue) };
export const PutResponse = message("PutResponse", { header: header(), ...putAnswer });
export const PutOpResponse = message("PutResponse", { header: bareHeader(), ...putAnswer });

export const DeleteRangeRequest = message("DeleteRangeRequest", {
  key: bytes(1),
  rangeEnd: bytes(2),
  prevKv: bool(3),
});
export type DeleteRangeRequest = Of<typeof DeleteRangeRequest>;

const deleteAnswer = { deleted: int64(2), prevKvs: repeated(submessage(3, () => KeyValue)) };
export const DeleteRangeResponse = message("DeleteRangeResponse", {
  header: header(),
  ...deleteAnswer,
});
export const DeleteRangeOpResponse = message("DeleteRangeResponse", {
  header: bareHeader(),
  ...deleteAnswer,
});

export const Compare = message("Compare", {
  result: enumeration(1, COMPARE_RESULTS),
  target: enumeration(2, COMPARE_TARGETS),
  key: bytes(3),
  version: oneof("target_union", int64(4)),
  createRevision: oneof("target_union", int64(5)),
  modRevision: oneof("target_union", int64(6)),
  value: oneof("target_union", bytes(7)),
  lease: oneof("target_union", bigint64(8)),
  rangeEnd: bytes(64),
});
export type Compare = Of<typeof Compare>;

/** Contains itself through RequestOp: the type stands first. */
export interface TxnRequest {
  compare: readonly Compare[];
  success: readonly RequestOp[];
  failure: readonly RequestOp[];
}
export interface RequestOp {
  requestRange: RangeRequest | undefined;
  requestPut: PutRequest | undefined;
  requestDeleteRange: DeleteRangeRequest | undefined;
  requestTxn: TxnRequest | undefined;
}
export const RequestOp: Message<RequestOp> = message("RequestOp", {
  requestRange: oneof("request", submessage(1, () => RangeRequest)),
  requestPut: oneof("request", submessage(2, () => PutRequest)),
  requestDeleteRange: oneof("request", submessage(3, () => DeleteRangeRequest)),
  requestTxn: oneof("request", submessage(4, (): Message<TxnRequest> => TxnRequest)),
});
export const TxnRequest: Message<TxnRequest> = message("TxnRequest", {
  compare: repeated(submessage(1, () => Compare)),
  success: repeated(submessage(2, () => RequestOp)),
  failure: repeated(submessage(3, () => RequestOp)),
});

export interface TxnOpResponse {
  header: number | undefined;
  succeeded: boolean;
  responses: readonly ResponseOp[];
}
export interface ResponseOp {
  responseRange: Of<typeof RangeOpResponse> | undefined;
  responsePut: Of<typeof PutOpResponse> | undefined;
  responseDeleteRange: Of<typeof DeleteRangeOpResponse> | undefined;
  responseTxn: TxnOpResponse | undefined;
}
export const ResponseOp: Message<ResponseOp> = message("ResponseOp", {
  responseRange: oneof("response", submessage(1, () => RangeOpResponse)),
  responsePut: oneof("response", submessage(2, () => PutOpResponse)),
  responseDeleteRange: oneof("response", submessage(3, () => DeleteRangeOpResponse)),
  responseTxn: oneof("response", submessage(4, (): Message<TxnOpResponse> => TxnOpResponse)),
});
export const TxnOpResponse: Message<TxnOpResponse> = message("TxnResponse", {
  header: bareHeader(),
  succeeded: bool(2),
  responses: repeated(submessage(3, () => ResponseOp)),
});
export const TxnResponse = message("TxnResponse", {
  header: header(),
  succeeded: bool(2),
  responses: repeated(submessage(3, () => ResponseOp)),
});
export type TxnResponse = Of<typeof TxnResponse>;

export const CompactionRequest = message("CompactionRequest", {
  revision: int64(1),
  physical: bool(2),
});
export type CompactionRequest = Of<typeof CompactionRequest>;
export const CompactionResponse = message("CompactionResponse", { header: header() });

// ---- Watch

export const WatchCreateRequest = message("WatchCreateRequest", {
  key: bytes(1),
  rangeEnd: bytes(2),
  startRevision: int64(3),
  progressNotify: bool(4),
  filters: repeated(enumeration(5, ["NOPUT", "NODELETE"])),
  prevKv: bool(6),
  watchId: bigint64(7),
  fragment: bool(8),
});
export type WatchCreateRequest = Of<typeof WatchCreateRequest>;
export const WatchCancelRequest = message("WatchCancelRequest", { watchId: bigint64(1) });
export const WatchProgressRequest = message("WatchProgressRequest", {});
export const WatchRequest = message("WatchRequest", {
  createRequest: oneof("request_union", submessage(1, () => WatchCreateRequest)),
  cancelRequest: oneof("request_union", submessage(2, () => WatchCancelRequest)),
  progressRequest: oneof("request_union", submessage(3, () => WatchProgressRequest)),
});
export type WatchRequest = Of<typeof WatchRequest>;
export const WatchResponse = message("WatchResponse", {
  header: header(),
  watchId: bigint64(2),
  created: bool(3),
  canceled: bool(4),
  compactRevision: int64(5),
  cancelReason: string(6),
  fragment: bool(7),
  events: repeated(submessage(11, () => Event)),
});
export type WatchResponse = Of<typeof WatchResponse>;

// ---- Lease

export const LeaseGrantRequest = message("LeaseGrantRequest", {
  ttl: int64(1, "TTL"),
  id: bigint64(2, "ID"),
});
export const LeaseGrantResponse = message("LeaseGrantResponse", {
  header: header(),
  id: bigint64(2, "ID"),
  ttl: int64(3, "TTL"),
  error: string(4),
});
export const LeaseRevokeRequest = message("LeaseRevokeRequest", { id: bigint64(1, "ID") });
export const LeaseRevokeResponse = message("LeaseRevokeResponse", { header: header() });
export const LeaseKeepAliveRequest = message("LeaseKeepAliveRequest", { id: bigint64(1, "ID") });
export const LeaseKeepAliveResponse = message("LeaseKeepAliveResponse", {
  header: header(),
  id: bigint64(2, "ID"),
  ttl: int64(3, "TTL"),
});
export const LeaseTimeToLiveRequest = message("LeaseTimeToLiveRequest", {
  id: bigint64(1, "ID"),
  keys: bool(2),
});
export const LeaseTimeToLiveResponse = message("LeaseTimeToLiveResponse", {
  header: header(),
  id: bigint64(2, "ID"),
  ttl: int64(3, "TTL"),
  grantedTtl: int64(4, "grantedTTL"),
  keys: repeated(bytes(5)),
});
export const LeaseLeasesRequest = message("LeaseLeasesRequest", {});
export const LeaseStatus = message("LeaseStatus", { id: bigint64(1, "ID") });
export const LeaseLeasesResponse = message("LeaseLeasesResponse", {
  header: header(),
  leases: repeated(submessage(2, () => LeaseStatus)),
});

// ---- Maintenance and Cluster

export const AlarmRequest = message("AlarmRequest", {
  action: enumeration(1, ["GET", "ACTIVATE", "DEACTIVATE"]),
  memberId: named("memberID", biguint64(2)),
  alarm: enumeration(3, ALARMS),
});
export const AlarmMember = message("AlarmMember", {
  memberId: named("memberID", biguint64(1)),
  alarm: enumeration(2, ALARMS),
});
export type AlarmMember = Of<typeof AlarmMember>;
export const AlarmResponse = message("AlarmResponse", {
  header: header(),
  alarms: repeated(submessage(2, () => AlarmMember)),
});
export const StatusRequest = message("StatusRequest", {});
export const StatusResponse = message("StatusResponse", {
  header: header(),
  version: string(2),
  dbSize: named("dbSize", int64(3)),
  leader: biguint64(4),
  raftIndex: named("raftIndex", int64(5)),
  raftTerm: named("raftTerm", biguint64(6)),
  raftAppliedIndex: named("raftAppliedIndex", int64(7)),
  errors: repeated(string(8)),
  dbSizeInUse: named("dbSizeInUse", int64(9)),
  isLearner: named("isLearner", bool(10)),
});
export const DefragmentRequest = message("DefragmentRequest", {});
export const DefragmentResponse = message("DefragmentResponse", { header: header() });
export const HashRequest = message("HashRequest", {});
export const HashResponse = message("HashResponse", { header: header(), hash: int64(2) });
export const HashKvRequest = message("HashKVRequest", { revision: int64(1) });
export const HashKvResponse = message("HashKVResponse", {
  header: header(),
  hash: int64(2),
  compactRevision: int64(3),
});
export const SnapshotRequest = message("SnapshotRequest", {});
export const SnapshotResponse = message("SnapshotResponse", {
  header: header(),
  remainingBytes: int64(2),
  blob: bytes(3),
});
export const MoveLeaderRequest = message("MoveLeaderRequest", {
  targetId: named("targetID", biguint64(1)),
});
export const MoveLeaderResponse = message("MoveLeaderResponse", { header: header() });
export const MemberListRequest = message("MemberListRequest", { linearizable: bool(1) });
export const Member = message("Member", {
  id: biguint64(1, "ID"),
  name: string(2),
  peerUrls: named("peerURLs", repeated(string(3))),
  clientUrls: named("clientURLs", repeated(string(4))),
  isLearner: named("isLearner", bool(5)),
});
export const MemberListResponse = message("MemberListResponse", {
  header: header(),
  members: repeated(submessage(2, () => Member)),
});

// ---- Auth: only the question whether it is on

export const AuthStatusRequest = message("AuthStatusRequest", {});
export const AuthStatusResponse = message("AuthStatusResponse", {
  header: header(),
  enabled: bool(2),
  authRevision: named("authRevision", int64(3)),
});
export const AuthenticateRequest = message("AuthenticateRequest", {
  name: string(1),
  password: string(2),
});
export const AuthenticateResponse = message("AuthenticateResponse", {
  header: header(),
  token: string(2),
});
