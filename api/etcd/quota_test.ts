import { assertEquals, assertRejects } from "@std/assert";
import { openTestStore } from "../../tests/fakes/test_store.ts";
import { AlarmStore } from "./alarms.ts";
import { GrpcError } from "./grpc/status.ts";
import { ALARM, PutRequest, RequestOp, TxnRequest } from "./messages.ts";
import { SpaceQuota } from "./quota.ts";

const put = (bytes: number) =>
  PutRequest.of({ key: Uint8Array.of(1), value: new Uint8Array(bytes) });

Deno.test("SpaceQuota raises NOSPACE at the quota, and holds it until it is disarmed", async () => {
  await using store = await openTestStore();
  const alarms = await AlarmStore.open(store);
  let size = 0;
  const quota = new SpaceQuota({
    quotaBytes: 100_000,
    usedBytes: () => Promise.resolve(size),
    alarms,
  });
  await quota.admitPut(put(1000));
  size = 99_000;
  await quota.admitPut(put(100));
  const refused = await assertRejects(async () => await quota.admitPut(put(1000)), GrpcError);
  assertEquals(refused.message, "etcdserver: mvcc: database space exceeded");
  assertEquals(refused.code, 8);
  size = 0;
  await assertRejects(async () => await quota.admitPut(put(1)), GrpcError);
  await assertRejects(async () => await quota.admitLease(), GrpcError);
  const txn = TxnRequest.of({ success: [RequestOp.of({ requestPut: put(1) })] });
  await assertRejects(async () => await quota.admitTxn(txn), GrpcError);
  // Deleting is the way out.
  await quota.admitTxn(TxnRequest.of({}));
  // A restart does not forget it.
  assertEquals((await AlarmStore.open(store)).list(), [ALARM.nospace]);
  await alarms.deactivate(ALARM.nospace);
  await quota.admitPut(put(1));
  assertEquals((await AlarmStore.open(store)).list(), []);
});
