/** The Lease service over the store's leases. */
import { type Lessor, StoreError } from "../../store/mod.ts";
import { type EtcdContext, headerOf } from "./context.ts";
import {
  type CallListener,
  type Method,
  type ServerCall,
  streaming,
  unary,
} from "./grpc/method.ts";
import {
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseLeasesRequest,
  LeaseLeasesResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  LeaseTimeToLiveRequest,
  LeaseTimeToLiveResponse,
} from "./messages.ts";
import type { SpaceQuota } from "./quota.ts";

const SERVICE = "/etcdserverpb.Lease/";

export function leaseMethods(
  context: EtcdContext,
  lessor: Lessor,
  quota: SpaceQuota,
): readonly Method[] {
  return [
    unary(SERVICE + "LeaseGrant", LeaseGrantRequest, LeaseGrantResponse, async (request) => {
      await quota.admitLease();
      const { id, ttlSeconds } = await lessor.grant(request.id, request.ttl);
      return LeaseGrantResponse.of({ header: headerOf(context), id, ttl: ttlSeconds });
    }),

    unary(SERVICE + "LeaseRevoke", LeaseRevokeRequest, LeaseRevokeResponse, async ({ id }) => {
      const revision = await lessor.revoke(id);
      return { header: headerOf(context, revision) };
    }),

    unary(
      SERVICE + "LeaseTimeToLive",
      LeaseTimeToLiveRequest,
      LeaseTimeToLiveResponse,
      (request) => timeToLive(context, lessor, request.id, request.keys),
    ),

    unary(SERVICE + "LeaseLeases", LeaseLeasesRequest, LeaseLeasesResponse, () => ({
      header: headerOf(context),
      leases: lessor.leases().map((id) => ({ id })),
    })),

    streaming(
      SERVICE + "LeaseKeepAlive",
      LeaseKeepAliveRequest,
      LeaseKeepAliveResponse,
      (call) => new KeepAliveStream(context, lessor, call),
    ),
  ];
}

function timeToLive(
  context: EtcdContext,
  lessor: Lessor,
  id: bigint,
  keys: boolean,
): ReturnType<typeof LeaseTimeToLiveResponse.of> {
  const header = headerOf(context);
  try {
    const { ttlSeconds, grantedTtlSeconds } = lessor.timeToLive(id);
    return LeaseTimeToLiveResponse.of({
      header,
      id,
      ttl: ttlSeconds,
      grantedTtl: grantedTtlSeconds,
      keys: keys ? lessor.keys(id) : [],
    });
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "lease_not_found") throw error;
    return LeaseTimeToLiveResponse.of({ header, id, ttl: -1 });
  }
}

/** Renews in the order of the requests. */
class KeepAliveStream implements CallListener<ReturnType<typeof LeaseKeepAliveRequest.of>> {
  readonly #context: EtcdContext;
  readonly #lessor: Lessor;
  readonly #call: ServerCall<ReturnType<typeof LeaseKeepAliveResponse.of>>;
  #last: Promise<void> = Promise.resolve();

  constructor(
    context: EtcdContext,
    lessor: Lessor,
    call: ServerCall<ReturnType<typeof LeaseKeepAliveResponse.of>>,
  ) {
    this.#context = context;
    this.#lessor = lessor;
    this.#call = call;
  }

  onMessage({ id }: { readonly id: bigint }): void {
    this.#last = this.#last.then(() => this.#renew(id))
      .catch((error: unknown) => this.#call.fail(error));
  }

  onEnd(): void {
    void this.#last.then(() => this.#call.end());
  }

  onDrain(): void {}
  onClose(): void {}

  async #renew(id: bigint): Promise<void> {
    // As etcd: the header is from before, so that a lease revoked since is not seen alive later.
    const header = headerOf(this.#context);
    const ttl = await this.#ttl(id);
    this.#call.send({ header, id, ttl });
  }

  /** 0 tells a client that its lease is gone. */
  async #ttl(id: bigint): Promise<number> {
    try {
      return await this.#lessor.renew(id);
    } catch (error) {
      if (error instanceof StoreError && error.code === "lease_not_found") return 0;
      throw error;
    }
  }
}
