/** The KV service. */
import { type EtcdContext, headerOf } from "./context.ts";
import { etcdError } from "./errors.ts";
import { type Method, unary, type UnaryContext } from "./grpc/method.ts";
import {
  CompactionRequest,
  CompactionResponse,
  DeleteRangeRequest,
  DeleteRangeResponse,
  PutRequest,
  PutResponse,
  RangeRequest,
  RangeResponse,
  TxnRequest,
  TxnResponse,
} from "./messages.ts";
import type { SpaceQuota } from "./quota.ts";
import { checkRange, toRangeAnswer, toStoreRange } from "./range.ts";
import {
  checkDelete,
  checkPut,
  checkTxn,
  isReadOnly,
  toStoreDelete,
  toStorePut,
  toStoreTxn,
  toTxnAnswer,
} from "./txn.ts";

const SERVICE = "/etcdserverpb.KV/";

export function kvMethods(context: EtcdContext, quota: SpaceQuota): readonly Method[] {
  const { store, limits } = context;

  /** etcd measures what goes into its log: the request and a few bytes around it. */
  const checkSize = ({ requestBytes }: UnaryContext) => {
    if (requestBytes > limits.maxRequestBytes) throw etcdError("requestTooLarge");
  };

  return [
    unary(SERVICE + "Range", RangeRequest, RangeResponse, async (request) => {
      checkRange(request);
      const answer = await store.range("etcd", toStoreRange(request, false));
      return {
        header: headerOf(context, answer.revision),
        ...toRangeAnswer(request, answer),
      };
    }),

    unary(SERVICE + "Put", PutRequest, PutResponse, async (request, call) => {
      checkPut(request);
      await quota.admitPut(request);
      checkSize(call);
      const answer = await store.txn({ compare: [], success: [toStorePut(request)], failure: [] });
      const [put] = answer.responses;
      return {
        header: headerOf(context, answer.revisions.etcd),
        prevKv: put?.type === "put" ? put.prevKv : undefined,
      };
    }),

    unary(
      SERVICE + "DeleteRange",
      DeleteRangeRequest,
      DeleteRangeResponse,
      async (request, call) => {
        checkDelete(request);
        checkSize(call);
        const answer = await store.txn({
          compare: [],
          success: [toStoreDelete(request)],
          failure: [],
        });
        const [deleted] = answer.responses;
        return {
          header: headerOf(context, answer.revisions.etcd),
          deleted: deleted?.type === "delete" ? deleted.deleted : 0,
          prevKvs: deleted?.type === "delete" ? deleted.prevKvs : [],
        };
      },
    ),

    unary(SERVICE + "Txn", TxnRequest, TxnResponse, async (request, call) => {
      checkTxn(request, limits.maxTxnOps);
      const storeTxn = toStoreTxn(request);
      if (!isReadOnly(request)) {
        await quota.admitTxn(request);
        checkSize(call);
      }
      const answer = await store.txn(storeTxn);
      return {
        header: headerOf(context, answer.revisions.etcd),
        ...toTxnAnswer(request, answer),
      };
    }),

    unary(SERVICE + "Compact", CompactionRequest, CompactionResponse, async (request) => {
      if (request.revision < 0) throw etcdError("compacted");
      // Nothing lies below revision 1: etcd takes 0 as done.
      if (request.revision > 0) await store.compact("etcd", request.revision);
      return { header: headerOf(context) };
    }),
  ];
}
