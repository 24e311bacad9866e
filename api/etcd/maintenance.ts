/** The Maintenance and Cluster services of a cluster of one, and what of Auth must be answered. */
import type { Store } from "../../store/mod.ts";
import type { AlarmStore } from "./alarms.ts";
import { ETCD_VERSION, type EtcdContext, headerOf } from "./context.ts";
import { etcdError, unsupported } from "./errors.ts";
import { type Method, streaming, unary } from "./grpc/method.ts";
import { CODE, GrpcError } from "./grpc/status.ts";
import { hashKeyspace } from "./hash.ts";
import {
  ALARM,
  ALARM_ACTION,
  AlarmRequest,
  AlarmResponse,
  AuthenticateRequest,
  AuthenticateResponse,
  AuthStatusRequest,
  AuthStatusResponse,
  DefragmentRequest,
  DefragmentResponse,
  HashKvRequest,
  HashKvResponse,
  HashRequest,
  HashResponse,
  MemberListRequest,
  MemberListResponse,
  MoveLeaderRequest,
  MoveLeaderResponse,
  SnapshotRequest,
  SnapshotResponse,
  StatusRequest,
  StatusResponse,
} from "./messages.ts";
import { snapshotStream } from "./snapshot.ts";

/** The medium under the store, as the operator's tools ask about it. */
export type StorageFacts = Pick<Store, "size" | "reclaim">;

export interface MaintenanceOptions {
  readonly context: EtcdContext;
  readonly alarms: AlarmStore;
  readonly storage: StorageFacts;
  readonly memberName: string;
  /** Where clients reach this server; may change while listeners open. */
  readonly clientUrls: () => readonly string[];
}

const MAINTENANCE = "/etcdserverpb.Maintenance/";
const CLUSTER = "/etcdserverpb.Cluster/";
const AUTH = "/etcdserverpb.Auth/";
const ALARM_NAMES = ["NONE", "NOSPACE", "CORRUPT"];

export function maintenanceMethods(options: MaintenanceOptions): readonly Method[] {
  const { context, alarms, storage } = options;
  const { store, identity } = context;

  /** How many transactions were made durable: what stands for etcd's raft index. */
  const raftIndex = () => Number(store.head().sequence);

  return [
    unary(MAINTENANCE + "Status", StatusRequest, StatusResponse, async () => {
      const { bytes, bytesInUse } = await storage.size();
      return {
        header: headerOf(context),
        version: ETCD_VERSION,
        dbSize: bytes,
        dbSizeInUse: bytesInUse,
        leader: identity.memberId,
        raftIndex: raftIndex(),
        raftAppliedIndex: raftIndex(),
        raftTerm: identity.raftTerm,
        errors: alarms.list().map((alarm) =>
          `memberID:${identity.memberId} alarm:${ALARM_NAMES[alarm]} `
        ),
        isLearner: false,
      };
    }),

    unary(MAINTENANCE + "Alarm", AlarmRequest, AlarmResponse, async (request) => {
      const member = (alarm: number) => ({ memberId: identity.memberId, alarm });
      if (request.alarm < 0 || request.alarm > ALARM.corrupt) {
        throw new GrpcError(
          CODE.invalidArgument,
          `etcdserver: AlarmRequest.alarm: ${request.alarm}`,
        );
      }
      const answer = (list: readonly number[]) =>
        AlarmResponse.of({ header: headerOf(context), alarms: list.map(member) });
      switch (request.action) {
        case ALARM_ACTION.get:
          return answer(
            alarms.list().filter((alarm) =>
              request.alarm === ALARM.none || alarm === request.alarm
            ),
          );
        case ALARM_ACTION.activate:
          await alarms.activate(request.alarm);
          return answer([request.alarm]);
        case ALARM_ACTION.deactivate: {
          const active = alarms.active(request.alarm);
          const mine = request.memberId === identity.memberId;
          if (!active || !mine) return answer([]);
          await alarms.deactivate(request.alarm);
          return answer([request.alarm]);
        }
        default:
          throw unsupported(`AlarmRequest.action ${request.action}`);
      }
    }),

    unary(MAINTENANCE + "Defragment", DefragmentRequest, DefragmentResponse, async () => {
      await storage.reclaim();
      return { header: headerOf(context) };
    }),

    unary(MAINTENANCE + "Hash", HashRequest, HashResponse, async () => {
      const revision = store.revision("etcd");
      const hash = await hashKeyspace(store, revision);
      return { header: headerOf(context, revision), hash };
    }),

    unary(MAINTENANCE + "HashKV", HashKvRequest, HashKvResponse, async (request) => {
      const revision = request.revision > 0 ? request.revision : store.revision("etcd");
      const hash = await hashKeyspace(store, revision);
      // As etcd: -1 before the first compaction.
      const compactRevision = store.compactedRevision("etcd") || -1;
      return { header: headerOf(context), hash, compactRevision };
    }),

    streaming(MAINTENANCE + "Snapshot", SnapshotRequest, SnapshotResponse, (call) => {
      let drained: (() => void) | undefined;
      const run = async () => {
        for await (const part of snapshotStream(store)) {
          if (call.signal.aborted) return;
          call.send({ header: headerOf(context), ...part });
          if (call.bufferedBytes > context.limits.watchBufferBytes) {
            await new Promise<void>((resolve) => drained = resolve);
          }
        }
        call.end();
      };
      let started = false;
      return {
        onMessage: () => {
          if (started) throw new GrpcError(CODE.internal, "grpc: more than one request message");
          started = true;
        },
        onEnd: () => void run().catch((error: unknown) => call.fail(error)),
        onDrain: () => drained?.(),
        onClose: () => drained?.(),
      };
    }),

    unary(MAINTENANCE + "MoveLeader", MoveLeaderRequest, MoveLeaderResponse, () => {
      throw etcdError("badLeaderTransferee");
    }),

    refused(MAINTENANCE + "Downgrade", "a downgrade"),

    unary(CLUSTER + "MemberList", MemberListRequest, MemberListResponse, () => ({
      header: headerOf(context),
      members: [{
        id: identity.memberId,
        name: options.memberName,
        peerUrls: [],
        clientUrls: options.clientUrls(),
        isLearner: false,
      }],
    })),
    ...["MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote"].map((name) =>
      refused(CLUSTER + name, `${name}: a cluster of one is all there is; a change of members`)
    ),

    unary(AUTH + "AuthStatus", AuthStatusRequest, AuthStatusResponse, () => ({
      header: headerOf(context),
      enabled: false,
      authRevision: 1,
    })),
    unary(AUTH + "Authenticate", AuthenticateRequest, AuthenticateResponse, () => {
      throw etcdError("authNotEnabled");
    }),
    ...[
      "AuthEnable",
      "AuthDisable",
      "UserAdd",
      "UserGet",
      "UserList",
      "UserDelete",
      "UserChangePassword",
      "UserGrantRole",
      "UserRevokeRole",
      "RoleAdd",
      "RoleGet",
      "RoleList",
      "RoleDelete",
      "RoleGrantPermission",
      "RoleRevokePermission",
    ].map((name) =>
      refused(AUTH + name, `${name}: users and roles are replaced by mutual TLS; it`)
    ),
  ];
}

/** A method of etcd that is known and not served; its request is not even read. */
function refused(path: string, what: string): Method {
  return {
    path,
    streaming: false,
    json: { kind: "unary", call: () => Promise.reject(unsupported(what)) },
    open(call) {
      call.fail(unsupported(what));
      return { onMessage: () => {}, onEnd: () => {}, onDrain: () => {}, onClose: () => {} };
    },
  };
}
