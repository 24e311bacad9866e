/** The header of etcd's answers: who answers, and at which revision. */
import type { Bytes } from "../../backends/mod.ts";
import { biguint64, custom, type Field, int64, message } from "./protobuf/schema.ts";
import { WIRE, type Writer } from "./protobuf/wire.ts";

/** Who answers: the same in every response of a process. */
export interface Identity {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly raftTerm: bigint;
}

export interface ResponseHeader {
  readonly identity: Identity;
  /** 0 is left out on the wire, as etcd does inside transactions that changed nothing yet. */
  readonly revision: number;
}

/** Headers stand in every answer and hardly change: their fixed part is encoded once per identity. */
const encodedIdentities = new WeakMap<Identity, { readonly ids: Bytes; readonly term: Bytes }>();

function writeHeader(header: ResponseHeader, writer: Writer): void {
  const { identity, revision } = header;
  let encoded = encodedIdentities.get(identity);
  if (encoded === undefined) {
    encoded = {
      ids: identityIds.encode({ clusterId: identity.clusterId, memberId: identity.memberId }),
      term: identityTerm.encode({ raftTerm: identity.raftTerm }),
    };
    encodedIdentities.set(identity, encoded);
  }
  writer.raw(encoded.term);
  if (revision !== 0) {
    writer.varint(revision);
    writer.tag(3, WIRE.varint);
  }
  writer.raw(encoded.ids);
}

/** A header as clients read it. */
const wholeHeader = message("ResponseHeader", {
  clusterId: biguint64(1),
  memberId: biguint64(2),
  revision: int64(3),
  raftTerm: biguint64(4),
});
const identityIds = message("ResponseHeader", { clusterId: biguint64(1), memberId: biguint64(2) });
const identityTerm = message("ResponseHeader", { raftTerm: biguint64(4) });

export function header(): Field<ResponseHeader | undefined> {
  return custom<ResponseHeader | undefined>(1, {
    read: (bytes) => {
      const { revision, ...identity } = wholeHeader.decode(bytes);
      return { identity, revision };
    },
    write: (value, writer) => {
      if (value !== undefined) writeHeader(value, writer);
    },
    toJson: (value) =>
      value === undefined ? undefined : {
        cluster_id: String(value.identity.clusterId),
        member_id: String(value.identity.memberId),
        ...(value.revision === 0 ? {} : { revision: String(value.revision) }),
        raft_term: String(value.identity.raftTerm),
      },
  }, undefined);
}

/** A header alone, inside the answers to the operations of a transaction: only the revision. */
export function bareHeader(): Field<number | undefined> {
  return custom<number | undefined>(1, {
    read: (bytes) => wholeHeader.decode(bytes).revision,
    write: (revision, writer) => {
      if (revision === undefined || revision === 0) return;
      writer.varint(revision);
      writer.tag(3, WIRE.varint);
    },
    toJson: (revision) =>
      revision === undefined || revision === 0 ? {} : { revision: String(revision) },
  }, undefined);
}
