/** What the stand-in node can be told to do wrong. */

/** Which calls a fault hits and how often; absent: every call, until cleared. */
interface FaultScope {
  /**
   * `GetServiceInfo`, `GetObject`, `BatchGetObjects`, `ListEvents` or any other gRPC method; a GraphQL
   * query counts as the method that asks for the same.
   */
  readonly method?: string;
  /** Goes away after so many hits. */
  readonly times?: number;
}

export type FaultKind =
  /** HTTP answer with this status and no gRPC in it: a proxy's 503, a wrong host's 404. */
  | { readonly kind: "http_status"; readonly status: number }
  /** A gRPC status of the node itself, such as 14 UNAVAILABLE or 5 NOT_FOUND; its like in GraphQL. */
  | { readonly kind: "grpc_status"; readonly code: number; readonly message?: string }
  /** Takes the request and never answers. */
  | { readonly kind: "hang" }
  /** Answers after so long. */
  | { readonly kind: "delay"; readonly milliseconds: number }
  /** Cuts the connection after so many bytes of the answer. */
  | { readonly kind: "drop"; readonly afterBytes: number }
  /** 200 with a HTML page, as a captive portal does. */
  | { readonly kind: "html" }
  /** 200 and the right content type, but the body is noise. */
  | { readonly kind: "garbage" }
  /** Answers endlessly. */
  | { readonly kind: "flood" }
  /** Shows the chain as it was so many checkpoints ago. */
  | { readonly kind: "lag"; readonly checkpoints: number }
  /** Answers for another object than the one asked for. */
  | { readonly kind: "wrong_object"; readonly id: string }
  /** Changes what it says of one object. */
  | {
    readonly kind: "lie_object";
    readonly id: string;
    readonly type?: string;
    readonly ownerAddress?: string;
    readonly contentsHex?: string;
    readonly version?: string;
    readonly digest?: string;
  }
  /** Denies that a live object exists. */
  | { readonly kind: "hide_object"; readonly id: string }
  /** Leaves required fields of the answer out. */
  | { readonly kind: "omit_fields"; readonly fields: readonly string[] }
  /** Sends every event twice. */
  | { readonly kind: "duplicate_events" }
  /** Sends the events of a page in reverse. */
  | { readonly kind: "reverse_events" }
  /** Sends events from before the cursor again. */
  | { readonly kind: "replay_events" }
  /** Ends the event stream without its end marker, status OK. */
  | { readonly kind: "no_query_end" }
  /** Does what it was asked to, and then does not say so. */
  | { readonly kind: "lost_answer" }
  /** Ends the stream of checkpoints where the next was due, status OK. */
  | { readonly kind: "end_stream" }
  /** Makes one checkpoint known without end. */
  | { readonly kind: "flood_checkpoints" }
  /** Makes this checkpoint known whenever there is one. */
  | { readonly kind: "lie_checkpoint"; readonly sequence: string }
  /** Claims to be on another chain. */
  | { readonly kind: "other_chain"; readonly chainId: string };

export type Fault = FaultKind & FaultScope;

export class Faults {
  #active: { fault: Fault; left: number }[] = [];

  set(fault: Fault): void {
    this.#active.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#active = [];
  }

  /**
   * The faults that hit this call, each counted once. A subscription, which is there all the time, uses
   * nothing up that was not meant for it.
   */
  take(method: string): readonly Fault[] {
    const hit = this.#active.filter(({ fault }) =>
      fault.method === method || (fault.method === undefined &&
        (fault.times === undefined || method !== "SubscribeCheckpoints"))
    );
    for (const entry of hit) entry.left--;
    this.#active = this.#active.filter(({ left }) => left > 0);
    return hit.map(({ fault }) => fault);
  }

  get active(): readonly Fault[] {
    return this.#active.map(({ fault }) => fault);
  }
}

/** The fault of one kind among those that hit. */
export function find<K extends Fault["kind"]>(
  faults: readonly Fault[],
  kind: K,
): Extract<Fault, { kind: K }> | undefined {
  return faults.find((fault): fault is Extract<Fault, { kind: K }> => fault.kind === kind);
}
