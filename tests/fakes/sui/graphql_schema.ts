/**
 * The part of Sui's public GraphQL schema that a client of this stand-in can ask: names and types as
 * the public one has them, which graphql_test.ts checks against the schema that comes with
 * @mysten/sui.
 */
export const SCHEMA = `
scalar Base64
scalar BigInt
scalar DateTime
scalar JSON
scalar SuiAddress
scalar UInt53

type Query {
  address(address: SuiAddress): Address
  chainIdentifier: String!
  checkpoint(sequenceNumber: UInt53): Checkpoint
  epoch: Epoch
  events(
    first: Int, after: String, last: Int, before: String, filter: EventFilter
  ): EventConnection
  multiGetObjects(keys: [ObjectKey!]!): [Object]!
  serviceConfig: ServiceConfig!
  verifyZkLoginSignature(
    bytes: Base64!, signature: Base64!, intentScope: ZkLoginIntentScope!, author: SuiAddress!
  ): ZkLoginVerifyResult
}

type Address {
  address: SuiAddress!
  objects(
    first: Int, after: String, last: Int, before: String, filter: ObjectFilter
  ): MoveObjectConnection
}

type Checkpoint {
  digest: String
  networkTotalTransactions: UInt53
  sequenceNumber: UInt53!
  timestamp: DateTime
}

type Epoch { referenceGasPrice: BigInt }

input ObjectKey { address: SuiAddress! }

input ObjectFilter { type: String }

type Object {
  address: SuiAddress!
  asMoveObject: MoveObject
  asMovePackage: MovePackage
  digest: String
  objectBcs: Base64
  owner: Owner
  previousTransaction: Transaction
  version: UInt53
}

type MoveObject {
  address: SuiAddress!
  contents: MoveValue
  digest: String
  objectBcs: Base64
  owner: Owner
  previousTransaction: Transaction
  version: UInt53
}

type MovePackage { address: SuiAddress! }

type MoveObjectConnection { nodes: [MoveObject!]!, pageInfo: PageInfo! }

type MoveValue { bcs: Base64, display: Display, json: JSON, type: MoveType }

type MoveType { repr: String! }

type Display { errors: JSON, output: JSON }

union Owner = AddressOwner | ObjectOwner | Shared | Immutable | ConsensusAddressOwner

type AddressOwner { address: Address }
type ObjectOwner { address: Address }
type Shared { initialSharedVersion: UInt53 }
type Immutable { _: Boolean }
type ConsensusAddressOwner { address: Address, startVersion: UInt53 }

input EventFilter {
  afterCheckpoint: UInt53, atCheckpoint: UInt53, beforeCheckpoint: UInt53
  module: String, sender: SuiAddress, type: String
}

type EventConnection { edges: [EventEdge!]!, nodes: [Event!]!, pageInfo: PageInfo! }

type EventEdge { cursor: String!, node: Event! }

type Event {
  contents: MoveValue
  sender: Address
  sequenceNumber: UInt53!
  timestamp: DateTime
  transaction: Transaction
  transactionModule: MoveModule
}

type MoveModule { name: String!, package: MovePackage }

type Transaction { digest: String!, effects: TransactionEffects }

type TransactionEffects { checkpoint: Checkpoint }

type PageInfo {
  endCursor: String
  hasNextPage: Boolean!
  hasPreviousPage: Boolean!
  startCursor: String
}

type ServiceConfig {
  availableRange(type: String!, field: String, filters: [String!]): AvailableRange!
}

type AvailableRange { first: Checkpoint, last: Checkpoint }

enum ZkLoginIntentScope { TRANSACTION_DATA PERSONAL_MESSAGE }

type ZkLoginVerifyResult { success: Boolean }
`;
