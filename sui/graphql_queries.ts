/**
 * What the ledger asks Sui's GraphQL RPC. Every query tells, within the same answer, which chain
 * and which checkpoint it was answered at: a server answers all of one request at one checkpoint.
 */

const OBSERVED = `chainIdentifier checkpoint { sequenceNumber timestamp }`;

/** From which checkpoint on the server still has events: below it, it leaves them out silently. */
const RETAINED =
  `serviceConfig { availableRange(type: "Query", field: "events", filters: ["type"]) {
    first { sequenceNumber } } }`;

export const STATUS_QUERY = `query status { ${OBSERVED} ${RETAINED} }`;

/** Variables: `keys`, `[{ address }]`. */
export const OBJECTS_QUERY = `query objects($keys: [ObjectKey!]!) {
  ${OBSERVED}
  multiGetObjects(keys: $keys) {
    address version digest
    asMovePackage { __typename }
    asMoveObject { contents { type { repr } bcs } }
    owner {
      __typename
      ... on AddressOwner { address { address } }
      ... on ObjectOwner { address { address } }
      ... on Shared { initialSharedVersion }
      ... on ConsensusAddressOwner { address { address } }
    }
  }
}`;

/** Variables: `type` (`0x…::module`), `afterCheckpoint`, `first`, `after`. */
export const EVENTS_QUERY = `query events(
  $type: String!, $afterCheckpoint: UInt53, $first: Int!, $after: String
) {
  ${OBSERVED} ${RETAINED}
  events(
    filter: { type: $type, afterCheckpoint: $afterCheckpoint }, first: $first, after: $after
  ) {
    pageInfo { hasNextPage endCursor }
    edges {
      cursor
      node {
        sequenceNumber
        sender { address }
        transaction { digest effects { checkpoint { sequenceNumber } } }
        transactionModule { name package { address } }
        contents { type { repr } bcs }
      }
    }
  }
}`;

/** Variables: `bytes` (the message, base64), `signature` (base64), `author`. */
export const ZKLOGIN_QUERY = `query zkLogin(
  $bytes: Base64!, $signature: Base64!, $author: SuiAddress!
) {
  ${OBSERVED}
  verifyZkLoginSignature(
    bytes: $bytes, signature: $signature, intentScope: PERSONAL_MESSAGE, author: $author
  ) { success }
}`;
