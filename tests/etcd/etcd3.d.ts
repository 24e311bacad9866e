/** What the tests use of etcd3 1.1.2. */
interface TextLike {
  toString(): string;
}
interface Put extends PromiseLike<unknown> {
  value(text: string): this;
}
interface Get extends PromiseLike<unknown> {
  string(): Promise<string | null>;
}
interface Many {
  prefix(prefix: string): this;
  sort(target: "Key", order: "Ascend" | "Descend"): this;
  limit(count: number): this;
  strings(): Promise<Record<string, string>>;
  keys(): Promise<string[]>;
  count(): Promise<number>;
}
interface Delete {
  all(): Promise<unknown>;
  key(key: string): PromiseLike<unknown>;
}
interface Txn {
  then(...operations: unknown[]): Txn;
  else(...operations: unknown[]): Txn;
  commit(): Promise<{ readonly succeeded: boolean }>;
}
interface Lock {
  ttl(seconds: number): this;
  acquire(): Promise<this>;
  release(): Promise<void>;
  do<T>(work: () => Promise<T>): Promise<T>;
}
interface Campaign {
  on(event: "elected", listener: () => void): this;
  on(event: "error", listener: (error: unknown) => void): this;
  resign(): Promise<void>;
}
interface Election {
  campaign(value: string): Campaign;
  leader(): Promise<string | undefined>;
}
interface Watcher {
  on(
    event: "put" | "delete",
    listener: (kv: { readonly key: TextLike; readonly value: TextLike }) => void,
  ): this;
  on(event: "error", listener: (error: unknown) => void): this;
  cancel(): Promise<void>;
}
interface WatchBuilder {
  key(key: string): this;
  prefix(prefix: string): this;
  startRevision(revision: string): this;
  create(): Promise<Watcher>;
}
interface Lease {
  put(key: string): Put;
  keepaliveOnce(): Promise<unknown>;
  revoke(): Promise<void>;
}
export class Etcd3 {
  constructor(options: { readonly hosts: string });
  put(key: string): Put;
  get(key: string): Get;
  getAll(): Many;
  delete(): Delete;
  if(key: string, target: "Value", comparison: "==", value: string): Txn;
  lock(key: string): Lock;
  election(name: string, ttlSeconds: number): Election;
  watch(): WatchBuilder;
  lease(ttlSeconds: number): Lease;
  close(): void;
}
export class EtcdLeaseInvalidError extends Error {}
export class EtcdLockFailedError extends Error {}
