/// The chain's half of a K3s-DaaS cluster: workers stake, hold a Seal token that names their node
/// key, and are activated, suspended, slashed or let go; tenants schedule Kubernetes requests.
///
/// A Seal token is owned by its worker and cannot be handed on (no `store`). What others must be
/// able to change (stake, status, revocation) stands in the shared registry under the token's id.
/// Nothing here is secret: ids, hashes and requests are public for ever.
///
/// The layouts of `SealToken`, `WorkerRegistry`, `WorkerEntry` and of every event are read by the
/// master byte by byte; changing one needs a new module.
module nautilus::k8s_gateway;

use std::string::String;
use sui::balance::{Self, Balance};
use sui::clock::Clock;
use sui::coin::{Self, Coin};
use sui::dynamic_field as field;
use sui::event;
use sui::sui::SUI;
use sui::table::{Self, Table};

// === Status of a worker ===

const PENDING: u8 = 0;
const ACTIVE: u8 = 1;
const SUSPENDED: u8 = 2;
const SLASHED: u8 = 3;
const WITHDRAWN: u8 = 4;

// === Limits ===

const MAX_PAYLOAD_BYTES: u64 = 16_384;
const MAX_NAME_BYTES: u64 = 253;
const MAX_OUTPUT_BYTES: u64 = 1_024;
const MAX_PERMISSIONS: u64 = 16;
const MAX_TOKEN_LIFETIME_MS: u64 = 366 * 24 * 3600 * 1000;
const MAX_UNSTAKE_DELAY_MS: u64 = 366 * 24 * 3600 * 1000;

// === Errors ===

#[error]
const EClusterId: vector<u8> = b"a cluster id has 16 bytes";
#[error]
const ENodeId: vector<u8> = b"a node id is an RFC 1123 subdomain";
#[error]
const ENodeTaken: vector<u8> = b"the node id is registered already";
#[error]
const ENodeKeyHash: vector<u8> = b"a node key hash has 32 bytes";
#[error]
const EStakeTooSmall: vector<u8> = b"the stake is below the registry's minimum";
#[error]
const EPolicy: vector<u8> = b"a value of the policy is out of range";
#[error]
const EWrongRegistry: vector<u8> = b"the capability or token belongs to another registry";
#[error]
const ENotOwner: vector<u8> = b"only the token's owner may do this";
#[error]
const ENotRegistered: vector<u8> = b"the registry has no entry for this token";
#[error]
const EWrongStatus: vector<u8> = b"the worker's status does not allow this";
#[error]
const ERevoked: vector<u8> = b"the token is revoked";
#[error]
const EExpired: vector<u8> = b"the token has expired";
#[error]
const ETooEarly: vector<u8> = b"the stake is still locked";
#[error]
const ESlashTooMuch: vector<u8> = b"more than the stake cannot be slashed";
#[error]
const EPriority: vector<u8> = b"a priority is 1 to 10";
#[error]
const ERequestTooLarge: vector<u8> = b"the request is too large";
#[error]
const ENoSuchWorker: vector<u8> = b"the assigned worker is not active";
#[error]
const ENoSuchRequest: vector<u8> = b"there is no such request";
#[error]
const EAnswered: vector<u8> = b"the request has its result already";
#[error]
const ENotAssigned: vector<u8> = b"the request is assigned to another worker";

// === Objects ===

/// What a worker presents. Owned by `owner`.
public struct SealToken has key {
    id: UID,
    cluster_id: vector<u8>,
    owner: address,
    node_id: String,
    node_key_hash: vector<u8>,
    permissions: vector<String>,
    issued_at_ms: u64,
    expires_at_ms: u64,
}

/// Shared. Policy, stakes, node ids and requests hang from it as dynamic fields.
public struct WorkerRegistry has key {
    id: UID,
    cluster_id: vector<u8>,
    entries: Table<ID, WorkerEntry>,
}

/// What the registry knows of one token, by the token's id.
public struct WorkerEntry has store {
    owner: address,
    node_id: String,
    stake_amount: u64,
    status: u8,
    revoked: bool,
    updated_at_ms: u64,
}

/// The operator of a cluster: activates, suspends, slashes, revokes.
public struct AdminCap has key, store {
    id: UID,
    registry: ID,
}

/// A master of the cluster: records results.
public struct MasterCap has key, store {
    id: UID,
    registry: ID,
}

/// What the operator decides for all workers.
public struct Policy has copy, drop, store {
    minimum_stake: u64,
    token_lifetime_ms: u64,
    /// From the beginning of a withdrawal to its end; slashing is possible all that time.
    unstake_delay_ms: u64,
    /// Whether staking alone activates a worker.
    open: bool,
    permissions: vector<String>,
    /// Where slashed stake goes.
    treasury: address,
}

/// A request until it is forgotten.
public struct Request has drop, store {
    requester: address,
    assigned_worker: String,
    priority: u8,
    scheduled_at_ms: u64,
    answered: bool,
}

// === Keys of the registry's dynamic fields ===

public struct PolicyKey() has copy, drop, store;
public struct StakeKey(ID) has copy, drop, store;
public struct NodeKey(String) has copy, drop, store;
public struct RequestKey(String) has copy, drop, store;

// === Events ===

public struct WorkerRegisteredEvent has copy, drop {
    node_id: String,
    owner: address,
    stake_amount: u64,
    seal_token: ID,
    timestamp: u64,
}

public struct WorkerStatusChangedEvent has copy, drop {
    node_id: String,
    old_status: u8,
    new_status: u8,
    timestamp: u64,
}

public struct SealTokenRevokedEvent has copy, drop {
    node_id: String,
    seal_token: ID,
    timestamp: u64,
}

public struct K8sAPIRequestScheduledEvent has copy, drop {
    request_id: String,
    method: String,
    resource: String,
    namespace: String,
    name: String,
    payload: String,
    seal_token: ID,
    requester: address,
    priority: u8,
    assigned_worker: String,
    timestamp: u64,
}

public struct K8sAPIResultEvent has copy, drop {
    request_id: String,
    assigned_worker: String,
    success: bool,
    output: String,
    error: String,
    execution_time_ms: u64,
    timestamp: u64,
}

// === Clusters ===

/// Makes and shares the registry of a new cluster. Whoever holds the capability operates it.
public fun create_registry(
    cluster_id: vector<u8>,
    policy: Policy,
    ctx: &mut TxContext,
): AdminCap {
    assert!(cluster_id.length() == 16, EClusterId);
    let mut registry = WorkerRegistry {
        id: object::new(ctx),
        cluster_id,
        entries: table::new(ctx),
    };
    field::add(&mut registry.id, PolicyKey(), policy);
    let cap = AdminCap { id: object::new(ctx), registry: object::id(&registry) };
    transfer::share_object(registry);
    cap
}

public fun new_policy(
    minimum_stake: u64,
    token_lifetime_ms: u64,
    unstake_delay_ms: u64,
    open: bool,
    permissions: vector<String>,
    treasury: address,
): Policy {
    assert!(minimum_stake > 0, EPolicy);
    assert!(token_lifetime_ms > 0 && token_lifetime_ms <= MAX_TOKEN_LIFETIME_MS, EPolicy);
    assert!(unstake_delay_ms <= MAX_UNSTAKE_DELAY_MS, EPolicy);
    assert!(permissions.length() <= MAX_PERMISSIONS, EPolicy);
    permissions.do_ref!(|permission| assert!(permission.length() <= 64, EPolicy));
    Policy { minimum_stake, token_lifetime_ms, unstake_delay_ms, open, permissions, treasury }
}

/// Holds for what happens from now on; tokens that exist keep their expiry and permissions.
public fun set_policy(cap: &AdminCap, registry: &mut WorkerRegistry, policy: Policy) {
    assert_admin(cap, registry);
    *field::borrow_mut(&mut registry.id, PolicyKey()) = policy;
}

public fun issue_master_cap(
    cap: &AdminCap,
    registry: &WorkerRegistry,
    ctx: &mut TxContext,
): MasterCap {
    assert_admin(cap, registry);
    MasterCap { id: object::new(ctx), registry: object::id(registry) }
}

public fun destroy_master_cap(cap: MasterCap) {
    let MasterCap { id, registry: _ } = cap;
    id.delete();
}

// === Workers ===

/// Stakes for a node and gives its owner, the sender, the node's Seal token.
public fun stake_and_register_worker(
    registry: &mut WorkerRegistry,
    stake: Coin<SUI>,
    node_id: String,
    node_key_hash: vector<u8>,
    clock: &Clock,
    ctx: &mut TxContext,
) {
    let policy = *registry.policy();
    let owner = ctx.sender();
    let timestamp = clock.timestamp_ms();
    assert!(is_node_id(&node_id), ENodeId);
    assert!(node_key_hash.length() == 32, ENodeKeyHash);
    assert!(stake.value() >= policy.minimum_stake, EStakeTooSmall);
    assert!(!field::exists_(&registry.id, NodeKey(node_id)), ENodeTaken);

    let token = SealToken {
        id: object::new(ctx),
        cluster_id: registry.cluster_id,
        owner,
        node_id,
        node_key_hash,
        permissions: policy.permissions,
        issued_at_ms: timestamp,
        expires_at_ms: timestamp + policy.token_lifetime_ms,
    };
    let seal_token = object::id(&token);
    let stake_amount = stake.value();
    registry
        .entries
        .add(
            seal_token,
            WorkerEntry {
                owner,
                node_id,
                stake_amount,
                status: PENDING,
                revoked: false,
                updated_at_ms: timestamp,
            },
        );
    field::add(&mut registry.id, NodeKey(node_id), seal_token);
    field::add(&mut registry.id, StakeKey(seal_token), stake.into_balance());
    transfer::transfer(token, owner);
    event::emit(WorkerRegisteredEvent { node_id, owner, stake_amount, seal_token, timestamp });
    if (policy.open) registry.become(seal_token, ACTIVE, timestamp);
}

/// Lets a pending or suspended worker work.
public fun activate_worker(
    cap: &AdminCap,
    registry: &mut WorkerRegistry,
    seal_token: ID,
    clock: &Clock,
) {
    assert_admin(cap, registry);
    let minimum_stake = registry.policy().minimum_stake;
    let entry = registry.entry(seal_token);
    assert!(entry.status == PENDING || entry.status == SUSPENDED, EWrongStatus);
    assert!(!entry.revoked, ERevoked);
    assert!(entry.stake_amount >= minimum_stake, EStakeTooSmall);
    registry.become(seal_token, ACTIVE, clock.timestamp_ms());
}

/// Stops a worker for the time being; its stake stays.
public fun suspend_worker(
    cap: &AdminCap,
    registry: &mut WorkerRegistry,
    seal_token: ID,
    clock: &Clock,
) {
    assert_admin(cap, registry);
    let entry = registry.entry(seal_token);
    assert!(entry.status == PENDING || entry.status == ACTIVE, EWrongStatus);
    registry.become(seal_token, SUSPENDED, clock.timestamp_ms());
}

/// Takes `amount` of the stake and the token's force, for good. Possible until the stake is paid out.
public fun slash_worker(
    cap: &AdminCap,
    registry: &mut WorkerRegistry,
    seal_token: ID,
    amount: u64,
    clock: &Clock,
    ctx: &mut TxContext,
) {
    assert_admin(cap, registry);
    let timestamp = clock.timestamp_ms();
    let treasury = registry.policy().treasury;
    assert!(amount <= registry.entry(seal_token).stake_amount, ESlashTooMuch);
    let stake: &mut Balance<SUI> = field::borrow_mut(&mut registry.id, StakeKey(seal_token));
    let slashed = stake.split(amount);
    if (amount > 0) {
        transfer::public_transfer(coin::from_balance(slashed, ctx), treasury);
    } else {
        slashed.destroy_zero();
    };
    let entry = registry.entries.borrow_mut(seal_token);
    entry.stake_amount = entry.stake_amount - amount;
    registry.become(seal_token, SLASHED, timestamp);
    registry.revoke(seal_token, timestamp);
}

/// Takes a token's force for good, without touching the stake.
public fun revoke_seal_token(
    cap: &AdminCap,
    registry: &mut WorkerRegistry,
    seal_token: ID,
    clock: &Clock,
) {
    assert_admin(cap, registry);
    assert!(!registry.entry(seal_token).revoked, ERevoked);
    registry.revoke(seal_token, clock.timestamp_ms());
}

/// Says that the worker is there. By its owner.
public fun heartbeat(
    registry: &mut WorkerRegistry,
    token: &SealToken,
    clock: &Clock,
    ctx: &TxContext,
) {
    registry.assert_valid(token, clock, ctx);
    registry.entries.borrow_mut(object::id(token)).updated_at_ms = clock.timestamp_ms();
}

/// Adds to the stake. By the owner, as long as the worker is not on its way out.
public fun add_stake(
    registry: &mut WorkerRegistry,
    token: &SealToken,
    stake: Coin<SUI>,
    ctx: &TxContext,
) {
    registry.assert_owner(token, ctx);
    let seal_token = object::id(token);
    let entry = registry.entries.borrow_mut(seal_token);
    assert!(entry.status <= SUSPENDED && !entry.revoked, EWrongStatus);
    entry.stake_amount = entry.stake_amount + stake.value();
    let balance: &mut Balance<SUI> = field::borrow_mut(&mut registry.id, StakeKey(seal_token));
    balance.join(stake.into_balance());
}

/// Gives a token that is neither revoked nor on its way out a new lifetime and today's permissions.
public fun renew_seal_token(
    registry: &WorkerRegistry,
    token: &mut SealToken,
    clock: &Clock,
    ctx: &TxContext,
) {
    registry.assert_owner(token, ctx);
    let entry = registry.entry(object::id(token));
    assert!(!entry.revoked, ERevoked);
    assert!(entry.status == PENDING || entry.status == ACTIVE, EWrongStatus);
    let policy = registry.policy();
    token.permissions = policy.permissions;
    token.issued_at_ms = clock.timestamp_ms();
    token.expires_at_ms = token.issued_at_ms + policy.token_lifetime_ms;
}

/// Names another node key. By the owner; sessions of the old key end with their next renewal.
public fun rotate_node_key(
    registry: &WorkerRegistry,
    token: &mut SealToken,
    node_key_hash: vector<u8>,
    ctx: &TxContext,
) {
    registry.assert_owner(token, ctx);
    assert!(!registry.entry(object::id(token)).revoked, ERevoked);
    assert!(node_key_hash.length() == 32, ENodeKeyHash);
    token.node_key_hash = node_key_hash;
}

/// Begins to leave: the token loses its force now, the stake is paid out after the delay.
public fun begin_withdrawal(
    registry: &mut WorkerRegistry,
    token: &SealToken,
    clock: &Clock,
    ctx: &TxContext,
) {
    registry.assert_owner(token, ctx);
    let seal_token = object::id(token);
    let timestamp = clock.timestamp_ms();
    assert!(registry.entry(seal_token).status <= SUSPENDED, EWrongStatus);
    registry.become(seal_token, WITHDRAWN, timestamp);
    if (!registry.entry(seal_token).revoked) registry.revoke(seal_token, timestamp);
}

/// Pays out what is left of the stake once the delay is over, and ends token and entry.
public fun withdraw_stake(
    registry: &mut WorkerRegistry,
    token: SealToken,
    clock: &Clock,
    ctx: &mut TxContext,
): Coin<SUI> {
    registry.assert_owner(&token, ctx);
    let seal_token = object::id(&token);
    let delay = registry.policy().unstake_delay_ms;
    let WorkerEntry { node_id, status, updated_at_ms, .. } = registry.entries.remove(seal_token);
    assert!(status == WITHDRAWN || status == SLASHED, EWrongStatus);
    assert!(clock.timestamp_ms() >= updated_at_ms + delay, ETooEarly);
    let _: ID = field::remove(&mut registry.id, NodeKey(node_id));
    let stake: Balance<SUI> = field::remove(&mut registry.id, StakeKey(seal_token));
    let SealToken { id, .. } = token;
    id.delete();
    coin::from_balance(stake, ctx)
}

// === Kubernetes requests ===

/// Schedules a request in the sender's name. What the sender may do is decided by the master.
/// Returns the request's id. `assigned_worker` empty: the master chooses.
public fun schedule_k8s_request(
    registry: &mut WorkerRegistry,
    method: String,
    resource: String,
    namespace: String,
    name: String,
    payload: String,
    priority: u8,
    assigned_worker: String,
    clock: &Clock,
    ctx: &mut TxContext,
): String {
    registry.schedule(
        @0x0.to_id(),
        method,
        resource,
        namespace,
        name,
        payload,
        priority,
        assigned_worker,
        clock,
        ctx,
    )
}

/// As `schedule_k8s_request`, by the holder of a Seal token that is in force.
public fun schedule_k8s_request_with_token(
    registry: &mut WorkerRegistry,
    token: &SealToken,
    method: String,
    resource: String,
    namespace: String,
    name: String,
    payload: String,
    priority: u8,
    assigned_worker: String,
    clock: &Clock,
    ctx: &mut TxContext,
): String {
    registry.assert_valid(token, clock, ctx);
    registry.schedule(
        object::id(token),
        method,
        resource,
        namespace,
        name,
        payload,
        priority,
        assigned_worker,
        clock,
        ctx,
    )
}

/// Records a request's result, once. By a master of the cluster. `output` holds a digest, never
/// what was read: everybody sees it.
public fun record_k8s_result(
    cap: &MasterCap,
    registry: &mut WorkerRegistry,
    request_id: String,
    success: bool,
    output: String,
    error: String,
    execution_time_ms: u64,
    clock: &Clock,
) {
    assert!(cap.registry == object::id(registry), EWrongRegistry);
    registry.answer(request_id, success, output, error, execution_time_ms, clock);
}

/// As `record_k8s_result`, by the worker that the request is assigned to.
public fun record_k8s_result_as_worker(
    registry: &mut WorkerRegistry,
    token: &SealToken,
    request_id: String,
    success: bool,
    output: String,
    error: String,
    execution_time_ms: u64,
    clock: &Clock,
    ctx: &TxContext,
) {
    registry.assert_valid(token, clock, ctx);
    assert!(field::exists_(&registry.id, RequestKey(request_id)), ENoSuchRequest);
    let request: &Request = field::borrow(&registry.id, RequestKey(request_id));
    assert!(request.assigned_worker == token.node_id, ENotAssigned);
    registry.answer(request_id, success, output, error, execution_time_ms, clock);
}

/// Removes a request that has its result. By its requester, who gets the storage rebate.
public fun forget_request(registry: &mut WorkerRegistry, request_id: String, ctx: &TxContext) {
    assert!(field::exists_(&registry.id, RequestKey(request_id)), ENoSuchRequest);
    let request: Request = field::remove(&mut registry.id, RequestKey(request_id));
    assert!(request.requester == ctx.sender(), ENotOwner);
    assert!(request.answered, EWrongStatus);
}

// === Reading ===

public fun policy(registry: &WorkerRegistry): &Policy {
    field::borrow(&registry.id, PolicyKey())
}

public fun is_registered(registry: &WorkerRegistry, seal_token: ID): bool {
    registry.entries.contains(seal_token)
}

public fun stake_amount(registry: &WorkerRegistry, seal_token: ID): u64 {
    registry.entry(seal_token).stake_amount
}

public fun status(registry: &WorkerRegistry, seal_token: ID): u8 {
    registry.entry(seal_token).status
}

public fun is_revoked(registry: &WorkerRegistry, seal_token: ID): bool {
    registry.entry(seal_token).revoked
}

public fun updated_at_ms(registry: &WorkerRegistry, seal_token: ID): u64 {
    registry.entry(seal_token).updated_at_ms
}

public fun expires_at_ms(token: &SealToken): u64 {
    token.expires_at_ms
}

public fun node_key_hash(token: &SealToken): vector<u8> {
    token.node_key_hash
}

public fun permissions(token: &SealToken): vector<String> {
    token.permissions
}

// === Inside ===

fun assert_admin(cap: &AdminCap, registry: &WorkerRegistry) {
    assert!(cap.registry == object::id(registry), EWrongRegistry);
}

fun entry(registry: &WorkerRegistry, seal_token: ID): &WorkerEntry {
    assert!(registry.entries.contains(seal_token), ENotRegistered);
    &registry.entries[seal_token]
}

/// The token belongs to this registry and to the sender.
fun assert_owner(registry: &WorkerRegistry, token: &SealToken, ctx: &TxContext) {
    assert!(token.cluster_id == registry.cluster_id, EWrongRegistry);
    let entry = registry.entry(object::id(token));
    assert!(token.owner == ctx.sender() && entry.owner == ctx.sender(), ENotOwner);
}

/// The token is the sender's and in force.
fun assert_valid(registry: &WorkerRegistry, token: &SealToken, clock: &Clock, ctx: &TxContext) {
    registry.assert_owner(token, ctx);
    let entry = registry.entry(object::id(token));
    assert!(!entry.revoked, ERevoked);
    assert!(entry.status == ACTIVE, EWrongStatus);
    assert!(clock.timestamp_ms() < token.expires_at_ms, EExpired);
}

fun become(registry: &mut WorkerRegistry, seal_token: ID, new_status: u8, timestamp: u64) {
    let entry = registry.entries.borrow_mut(seal_token);
    let old_status = entry.status;
    entry.status = new_status;
    entry.updated_at_ms = timestamp;
    if (old_status != new_status) {
        let node_id = entry.node_id;
        event::emit(WorkerStatusChangedEvent { node_id, old_status, new_status, timestamp });
    }
}

fun revoke(registry: &mut WorkerRegistry, seal_token: ID, timestamp: u64) {
    let entry = registry.entries.borrow_mut(seal_token);
    entry.updated_at_ms = timestamp;
    if (!entry.revoked) {
        entry.revoked = true;
        let node_id = entry.node_id;
        event::emit(SealTokenRevokedEvent { node_id, seal_token, timestamp });
    }
}

fun schedule(
    registry: &mut WorkerRegistry,
    seal_token: ID,
    method: String,
    resource: String,
    namespace: String,
    name: String,
    payload: String,
    priority: u8,
    assigned_worker: String,
    clock: &Clock,
    ctx: &mut TxContext,
): String {
    assert!(priority >= 1 && priority <= 10, EPriority);
    assert!(payload.length() <= MAX_PAYLOAD_BYTES, ERequestTooLarge);
    assert!(method.length() <= 16 && resource.length() <= MAX_NAME_BYTES, ERequestTooLarge);
    assert!(namespace.length() <= MAX_NAME_BYTES, ERequestTooLarge);
    assert!(name.length() <= MAX_NAME_BYTES, ERequestTooLarge);
    if (!assigned_worker.is_empty()) {
        assert!(field::exists_(&registry.id, NodeKey(assigned_worker)), ENoSuchWorker);
        let worker: ID = *field::borrow(&registry.id, NodeKey(assigned_worker));
        let entry = registry.entry(worker);
        assert!(entry.status == ACTIVE && !entry.revoked, ENoSuchWorker);
    };
    // Unique by itself, so that nobody can take an id away from somebody else.
    let request_id = ctx.fresh_object_address().to_string();
    let requester = ctx.sender();
    let timestamp = clock.timestamp_ms();
    field::add(
        &mut registry.id,
        RequestKey(request_id),
        Request {
            requester,
            assigned_worker,
            priority,
            scheduled_at_ms: timestamp,
            answered: false,
        },
    );
    event::emit(K8sAPIRequestScheduledEvent {
        request_id,
        method,
        resource,
        namespace,
        name,
        payload,
        seal_token,
        requester,
        priority,
        assigned_worker,
        timestamp,
    });
    request_id
}

fun answer(
    registry: &mut WorkerRegistry,
    request_id: String,
    success: bool,
    output: String,
    error: String,
    execution_time_ms: u64,
    clock: &Clock,
) {
    assert!(field::exists_(&registry.id, RequestKey(request_id)), ENoSuchRequest);
    assert!(output.length() <= MAX_OUTPUT_BYTES, ERequestTooLarge);
    assert!(error.length() <= MAX_OUTPUT_BYTES, ERequestTooLarge);
    let request: &mut Request = field::borrow_mut(&mut registry.id, RequestKey(request_id));
    assert!(!request.answered, EAnswered);
    request.answered = true;
    event::emit(K8sAPIResultEvent {
        request_id,
        assigned_worker: request.assigned_worker,
        success,
        output,
        error,
        execution_time_ms,
        timestamp: clock.timestamp_ms(),
    });
}

/// Labels of a-z, 0-9 and inner hyphens, joined by dots, 253 bytes at most.
fun is_node_id(node_id: &String): bool {
    let bytes = node_id.as_bytes();
    let length = bytes.length();
    if (length == 0 || length > MAX_NAME_BYTES) return false;
    let mut previous = 46u8; // '.'
    let mut i = 0;
    while (i < length) {
        let byte = bytes[i];
        let alphanumeric = (byte >= 97 && byte <= 122) || (byte >= 48 && byte <= 57);
        let ends_label = previous == 46 || previous == 45;
        if (byte == 46) {
            if (ends_label) return false;
        } else if (byte == 45) {
            if (previous == 46) return false;
        } else if (!alphanumeric) {
            return false
        };
        previous = byte;
        i = i + 1;
    };
    previous != 46 && previous != 45
}

// === For tests ===

#[test_only]
public fun is_node_id_for_testing(node_id: String): bool {
    is_node_id(&node_id)
}

/// BCS of an entry and of every event, with fixed values, in the order of tests/layout_tests.move.
#[test_only]
public fun layouts_for_testing(owner: address, token: address, timestamp: u64): vector<vector<u8>> {
    let node_id = b"node-a".to_string();
    let request_id = b"r-1".to_string();
    let seal_token = token.to_id();
    let entry = WorkerEntry {
        owner,
        node_id,
        stake_amount: 5_000_000_000,
        status: ACTIVE,
        revoked: true,
        updated_at_ms: timestamp,
    };
    let layouts = vector[
        std::bcs::to_bytes(&entry),
        std::bcs::to_bytes(
            &WorkerRegisteredEvent {
                node_id,
                owner,
                stake_amount: 5_000_000_000,
                seal_token,
                timestamp,
            },
        ),
        std::bcs::to_bytes(
            &WorkerStatusChangedEvent {
                node_id,
                old_status: ACTIVE,
                new_status: SLASHED,
                timestamp,
            },
        ),
        std::bcs::to_bytes(&SealTokenRevokedEvent { node_id, seal_token, timestamp }),
        std::bcs::to_bytes(
            &K8sAPIRequestScheduledEvent {
                request_id,
                method: b"POST".to_string(),
                resource: b"ConfigMap".to_string(),
                namespace: b"default".to_string(),
                name: b"x".to_string(),
                payload: b"{}".to_string(),
                seal_token,
                requester: owner,
                priority: 10,
                assigned_worker: node_id,
                timestamp,
            },
        ),
        std::bcs::to_bytes(
            &K8sAPIResultEvent {
                request_id,
                assigned_worker: node_id,
                success: true,
                output: b"sha256:00".to_string(),
                error: b"".to_string(),
                execution_time_ms: 12,
                timestamp,
            },
        ),
    ];
    let WorkerEntry { .. } = entry;
    layouts
}

#[test_only]
public fun slice_stake_for_testing(registry: &WorkerRegistry, seal_token: ID): u64 {
    let stake: &Balance<SUI> = field::borrow(&registry.id, StakeKey(seal_token));
    balance::value(stake)
}
