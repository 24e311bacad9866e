/** The space quota and its NOSPACE alarm, as etcd's: full is full until an operator says otherwise. */
import type { AlarmStore } from "./alarms.ts";
import { etcdError } from "./errors.ts";
import { ALARM, type PutRequest, type RequestOp, type TxnRequest } from "./messages.ts";

/** What etcd reckons for a key's metadata and for a lease. */
const KEY_OVERHEAD_BYTES = 256;
const LEASE_OVERHEAD_BYTES = 64;

export interface SpaceQuotaOptions {
  /** 0: no quota. */
  readonly quotaBytes: number;
  /** Bytes in use on the medium. Asked now and then, not for every write. */
  readonly usedBytes: () => Promise<number>;
  readonly alarms: AlarmStore;
}

/** Ask the medium again after this much was written, or this part of the quota. */
const MEASURE_EVERY_BYTES = 4 * 1024 * 1024;
const MEASURE_EVERY_PART = 64;

export class SpaceQuota {
  readonly #options: SpaceQuotaOptions;
  #measured = 0;
  #since = Infinity;
  #measuring: Promise<void> | undefined;

  constructor(options: SpaceQuotaOptions) {
    this.#options = options;
  }

  /** @throws {GrpcError} "database space exceeded" */
  admitPut(request: PutRequest): Promise<void> | void {
    return this.#admit(putCost(request));
  }

  /** @throws {GrpcError} "database space exceeded" */
  admitTxn(request: TxnRequest): Promise<void> | void {
    const cost = txnCost(request);
    if (cost > 0) return this.#admit(cost);
  }

  /** @throws {GrpcError} "database space exceeded" */
  admitLease(): Promise<void> | void {
    return this.#admit(LEASE_OVERHEAD_BYTES);
  }

  #admit(cost: number): Promise<void> | void {
    const { quotaBytes, alarms } = this.#options;
    if (alarms.active(ALARM.nospace)) throw etcdError("noSpace");
    if (quotaBytes === 0) return;
    this.#since += cost;
    // Far from the limit the last measurement is good enough.
    const near = this.#measured + this.#since * 2 >= quotaBytes;
    const every = Math.min(MEASURE_EVERY_BYTES, quotaBytes / MEASURE_EVERY_PART);
    if (!near && this.#since < every) return;
    return this.#check(cost);
  }

  async #check(cost: number): Promise<void> {
    this.#measuring ??= this.#measure();
    await this.#measuring;
    if (this.#measured + cost < this.#options.quotaBytes) return;
    await this.#options.alarms.activate(ALARM.nospace);
    throw etcdError("noSpace");
  }

  async #measure(): Promise<void> {
    try {
      this.#measured = await this.#options.usedBytes();
      this.#since = 0;
    } finally {
      this.#measuring = undefined;
    }
  }
}

function putCost(request: PutRequest): number {
  return KEY_OVERHEAD_BYTES + request.key.length + request.value.length;
}

/** The dearer branch. */
function txnCost(request: TxnRequest): number {
  return Math.max(opsCost(request.success), opsCost(request.failure));
}

function opsCost(ops: readonly RequestOp[]): number {
  let cost = 0;
  for (const op of ops) {
    if (op.requestPut !== undefined) cost += putCost(op.requestPut);
    else if (op.requestTxn !== undefined) cost += txnCost(op.requestTxn);
  }
  return cost;
}
