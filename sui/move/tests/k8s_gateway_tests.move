#[test_only]
module nautilus::k8s_gateway_tests;

use nautilus::k8s_gateway::{
    Self as gateway,
    AdminCap,
    MasterCap,
    SealToken,
    WorkerRegistry,
};
use std::bcs;
use std::string::String;
use sui::clock::{Self, Clock};
use sui::coin;
use sui::event;
use sui::sui::SUI;
use sui::test_scenario::{Self as ts, Scenario};

const OPERATOR: address = @0xad;
const TREASURY: address = @0x7e;
const ALICE: address = @0xa1;
const MALLORY: address = @0x66;
const STAKE: u64 = 5_000_000_000;
const MINIMUM: u64 = 1_000_000_000;
const LIFETIME_MS: u64 = 1_000_000;
const DELAY_MS: u64 = 10_000;

// Statuses, as the chain counts them.
const PENDING: u8 = 0;
const ACTIVE: u8 = 1;
const SUSPENDED: u8 = 2;
const SLASHED: u8 = 3;
const WITHDRAWN: u8 = 4;

fun put_away<T: key + store>(thing: T) {
    transfer::public_transfer(thing, @0x0);
}

fun key_hash(byte: u8): vector<u8> {
    vector::tabulate!(32, |_| byte)
}

fun cluster_id(): vector<u8> {
    vector::tabulate!(16, |_| 1)
}

fun begin(open: bool): (Scenario, Clock) {
    let mut scenario = ts::begin(OPERATOR);
    let clock = clock::create_for_testing(scenario.ctx());
    let policy = gateway::new_policy(
        MINIMUM,
        LIFETIME_MS,
        DELAY_MS,
        open,
        vector[b"register".to_string()],
        TREASURY,
    );
    let cap = gateway::create_registry(cluster_id(), policy, scenario.ctx());
    transfer::public_transfer(cap, OPERATOR);
    scenario.next_tx(OPERATOR);
    (scenario, clock)
}

fun register(scenario: &mut Scenario, clock: &Clock, owner: address, node_id: String, stake: u64) {
    scenario.next_tx(owner);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let coin = coin::mint_for_testing<SUI>(stake, scenario.ctx());
    registry.stake_and_register_worker(coin, node_id, key_hash(7), clock, scenario.ctx());
    ts::return_shared(registry);
    scenario.next_tx(owner);
}

/// Runs `$f` as the operator, on the registry and the token of `$owner`.
macro fun as_operator(
    $scenario: &mut Scenario,
    $owner: address,
    $f: |&AdminCap, &mut WorkerRegistry, ID, &mut Scenario|,
) {
    let scenario = $scenario;
    scenario.next_tx($owner);
    let token = scenario.take_from_address<SealToken>($owner);
    let id = object::id(&token);
    ts::return_to_address($owner, token);
    scenario.next_tx(OPERATOR);
    let cap = scenario.take_from_sender<AdminCap>();
    let mut registry = scenario.take_shared<WorkerRegistry>();
    $f(&cap, &mut registry, id, scenario);
    ts::return_shared(registry);
    scenario.return_to_sender(cap);
}

/// Runs `$f` as `$sender` with the token that `$owner` holds.
macro fun with_token(
    $scenario: &mut Scenario,
    $owner: address,
    $sender: address,
    $f: |&mut WorkerRegistry, &mut SealToken, &mut Scenario|,
) {
    let scenario = $scenario;
    scenario.next_tx($sender);
    let mut token = scenario.take_from_address<SealToken>($owner);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    $f(&mut registry, &mut token, scenario);
    ts::return_shared(registry);
    ts::return_to_address($owner, token);
}

fun end(scenario: Scenario, clock: Clock) {
    clock.destroy_for_testing();
    scenario.end();
}

#[test]
fun staking_gives_a_token_and_a_pending_entry() {
    let (mut scenario, mut clock) = begin(false);
    clock.set_for_testing(500);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    let token = scenario.take_from_sender<SealToken>();
    let registry = scenario.take_shared<WorkerRegistry>();
    let id = object::id(&token);
    assert!(registry.is_registered(id));
    assert!(registry.status(id) == PENDING);
    assert!(registry.stake_amount(id) == STAKE);
    assert!(registry.slice_stake_for_testing(id) == STAKE);
    assert!(!registry.is_revoked(id));
    assert!(token.expires_at_ms() == 500 + LIFETIME_MS);
    assert!(token.node_key_hash() == key_hash(7));
    assert!(token.permissions() == vector[b"register".to_string()]);
    ts::return_shared(registry);
    scenario.return_to_sender(token);
    end(scenario, clock);
}

#[test]
fun events_tell_what_happened() {
    let (mut scenario, clock) = begin(true);
    scenario.next_tx(ALICE);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let coin = coin::mint_for_testing<SUI>(STAKE, scenario.ctx());
    registry.stake_and_register_worker(
        coin,
        b"node-a".to_string(),
        key_hash(7),
        &clock,
        scenario.ctx(),
    );
    assert!(event::events_by_type<gateway::WorkerRegisteredEvent>().length() == 1);
    let changes = event::events_by_type<gateway::WorkerStatusChangedEvent>();
    assert!(bcs::to_bytes(&changes) == x"01066e6f64652d6100010000000000000000");
    ts::return_shared(registry);

    as_operator!(&mut scenario, ALICE, |cap, registry, id, scenario| {
        registry.slash_worker_for(cap, id, MINIMUM, &clock, scenario);
        assert!(event::events_by_type<gateway::SealTokenRevokedEvent>().length() == 1);
        assert!(
            bcs::to_bytes(&event::events_by_type<gateway::WorkerStatusChangedEvent>()) == x"01066e6f64652d6101030000000000000000",
        );
    });
    end(scenario, clock);
}

use fun slash_for as WorkerRegistry.slash_worker_for;

fun slash_for(
    registry: &mut WorkerRegistry,
    cap: &AdminCap,
    id: ID,
    amount: u64,
    clock: &Clock,
    scenario: &mut Scenario,
) {
    cap.slash_worker(registry, id, amount, clock, scenario.ctx());
}

#[test]
fun an_open_registry_activates_at_once() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    as_operator!(&mut scenario, ALICE, |_, registry, id, _| {
        assert!(registry.status(id) == ACTIVE);
    });
    end(scenario, clock);
}

#[test]
fun the_operator_activates_suspends_and_activates_again() {
    let (mut scenario, clock) = begin(false);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    as_operator!(&mut scenario, ALICE, |cap, registry, id, _| {
        cap.activate_worker(registry, id, &clock);
        assert!(registry.status(id) == ACTIVE);
        cap.suspend_worker(registry, id, &clock);
        assert!(registry.status(id) == SUSPENDED);
        cap.activate_worker(registry, id, &clock);
        assert!(registry.status(id) == ACTIVE);
    });
    end(scenario, clock);
}

#[test]
fun slashing_takes_stake_and_force() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    as_operator!(&mut scenario, ALICE, |cap, registry, id, scenario| {
        registry.slash_worker_for(cap, id, MINIMUM, &clock, scenario);
        assert!(registry.status(id) == SLASHED);
        assert!(registry.is_revoked(id));
        assert!(registry.stake_amount(id) == STAKE - MINIMUM);
        assert!(registry.slice_stake_for_testing(id) == STAKE - MINIMUM);
    });
    scenario.next_tx(TREASURY);
    let coin = scenario.take_from_sender<coin::Coin<SUI>>();
    assert!(coin.value() == MINIMUM);
    put_away(coin);
    end(scenario, clock);
}

#[test]
fun leaving_pays_out_after_the_delay_and_frees_the_name() {
    let (mut scenario, mut clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    with_token!(&mut scenario, ALICE, ALICE, |registry, token, scenario| {
        registry.begin_withdrawal(token, &clock, scenario.ctx());
        assert!(registry.status(object::id(token)) == WITHDRAWN);
        assert!(registry.is_revoked(object::id(token)));
    });
    clock.increment_for_testing(DELAY_MS);
    scenario.next_tx(ALICE);
    let token = scenario.take_from_sender<SealToken>();
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let coin = registry.withdraw_stake(token, &clock, scenario.ctx());
    assert!(coin.value() == STAKE);
    put_away(coin);
    ts::return_shared(registry);
    register(&mut scenario, &clock, MALLORY, b"node-a".to_string(), STAKE);
    end(scenario, clock);
}

#[test]
fun slashing_reaches_a_stake_that_is_on_its_way_out() {
    let (mut scenario, mut clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    with_token!(&mut scenario, ALICE, ALICE, |registry, token, scenario| {
        registry.begin_withdrawal(token, &clock, scenario.ctx());
    });
    clock.increment_for_testing(DELAY_MS);
    as_operator!(&mut scenario, ALICE, |cap, registry, id, scenario| {
        registry.slash_worker_for(cap, id, STAKE, &clock, scenario);
    });
    clock.increment_for_testing(DELAY_MS);
    scenario.next_tx(ALICE);
    let token = scenario.take_from_sender<SealToken>();
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let coin = registry.withdraw_stake(token, &clock, scenario.ctx());
    assert!(coin.value() == 0);
    put_away(coin);
    ts::return_shared(registry);
    end(scenario, clock);
}

#[test, expected_failure(abort_code = gateway::ETooEarly)]
fun the_stake_stays_locked_during_the_delay() {
    let (mut scenario, mut clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    with_token!(&mut scenario, ALICE, ALICE, |registry, token, scenario| {
        registry.begin_withdrawal(token, &clock, scenario.ctx());
    });
    clock.increment_for_testing(DELAY_MS - 1);
    scenario.next_tx(ALICE);
    let token = scenario.take_from_sender<SealToken>();
    let mut registry = scenario.take_shared<WorkerRegistry>();
    put_away(registry.withdraw_stake(token, &clock, scenario.ctx()));
    abort
}

#[test, expected_failure(abort_code = gateway::EWrongStatus)]
fun an_active_worker_cannot_take_its_stake() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    scenario.next_tx(ALICE);
    let token = scenario.take_from_sender<SealToken>();
    let mut registry = scenario.take_shared<WorkerRegistry>();
    put_away(registry.withdraw_stake(token, &clock, scenario.ctx()));
    abort
}

#[test]
fun the_owner_beats_adds_stake_renews_and_rotates() {
    let (mut scenario, mut clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    clock.set_for_testing(900);
    with_token!(&mut scenario, ALICE, ALICE, |registry, token, scenario| {
        let id = object::id(token);
        registry.heartbeat(token, &clock, scenario.ctx());
        assert!(registry.updated_at_ms(id) == 900);
        let coin = coin::mint_for_testing<SUI>(3, scenario.ctx());
        registry.add_stake(token, coin, scenario.ctx());
        assert!(registry.stake_amount(id) == STAKE + 3);
        assert!(registry.slice_stake_for_testing(id) == STAKE + 3);
        registry.renew_seal_token(token, &clock, scenario.ctx());
        assert!(token.expires_at_ms() == 900 + LIFETIME_MS);
        registry.rotate_node_key(token, key_hash(8), scenario.ctx());
        assert!(token.node_key_hash() == key_hash(8));
    });
    end(scenario, clock);
}

#[test, expected_failure(abort_code = gateway::EExpired)]
fun an_expired_token_does_not_beat() {
    let (mut scenario, mut clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    clock.set_for_testing(LIFETIME_MS);
    with_token!(&mut scenario, ALICE, ALICE, |registry, token, scenario| {
        registry.heartbeat(token, &clock, scenario.ctx());
    });
    abort
}

#[test, expected_failure(abort_code = gateway::ENotOwner)]
fun nobody_beats_for_somebody_else() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    with_token!(&mut scenario, ALICE, MALLORY, |registry, token, scenario| {
        registry.heartbeat(token, &clock, scenario.ctx());
    });
    abort
}

#[test, expected_failure(abort_code = gateway::EWrongStatus)]
fun a_pending_worker_does_not_beat() {
    let (mut scenario, clock) = begin(false);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    with_token!(&mut scenario, ALICE, ALICE, |registry, token, scenario| {
        registry.heartbeat(token, &clock, scenario.ctx());
    });
    abort
}

#[test, expected_failure(abort_code = gateway::ERevoked)]
fun a_revoked_token_is_not_renewed() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    as_operator!(&mut scenario, ALICE, |cap, registry, id, _| {
        cap.revoke_seal_token(registry, id, &clock);
    });
    with_token!(&mut scenario, ALICE, ALICE, |registry, token, scenario| {
        registry.renew_seal_token(token, &clock, scenario.ctx());
    });
    abort
}

#[test, expected_failure(abort_code = gateway::ERevoked)]
fun a_revoked_worker_is_not_activated() {
    let (mut scenario, clock) = begin(false);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    as_operator!(&mut scenario, ALICE, |cap, registry, id, _| {
        cap.revoke_seal_token(registry, id, &clock);
        cap.activate_worker(registry, id, &clock);
    });
    abort
}

#[test, expected_failure(abort_code = gateway::EWrongStatus)]
fun a_slashed_worker_is_not_activated() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    as_operator!(&mut scenario, ALICE, |cap, registry, id, scenario| {
        registry.slash_worker_for(cap, id, 1, &clock, scenario);
        cap.activate_worker(registry, id, &clock);
    });
    abort
}

#[test, expected_failure(abort_code = gateway::EWrongRegistry)]
fun the_operator_of_another_cluster_slashes_nobody() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    scenario.next_tx(MALLORY);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let policy = gateway::new_policy(1, 1, 0, true, vector[], MALLORY);
    let cap = gateway::create_registry(cluster_id(), policy, scenario.ctx());
    let token = scenario.take_from_address<SealToken>(ALICE);
    cap.slash_worker(&mut registry, object::id(&token), 1, &clock, scenario.ctx());
    abort
}

#[test, expected_failure(abort_code = gateway::ENotRegistered)]
fun a_token_of_a_registry_with_the_same_cluster_id_is_a_stranger() {
    let (mut scenario, clock) = begin(true);
    scenario.next_tx(MALLORY);
    let policy = gateway::new_policy(1, LIFETIME_MS, 0, true, vector[], MALLORY);
    let cap = gateway::create_registry(cluster_id(), policy, scenario.ctx());
    put_away(cap);
    scenario.next_tx(MALLORY);
    let mut theirs = scenario.take_shared<WorkerRegistry>();
    let coin = coin::mint_for_testing<SUI>(1, scenario.ctx());
    theirs.stake_and_register_worker(
        coin,
        b"node-a".to_string(),
        key_hash(7),
        &clock,
        scenario.ctx(),
    );
    scenario.next_tx(MALLORY);
    let mut ours = scenario.take_shared<WorkerRegistry>();
    let token = scenario.take_from_sender<SealToken>();
    ours.heartbeat(&token, &clock, scenario.ctx());
    abort
}

#[test, expected_failure(abort_code = gateway::EStakeTooSmall)]
fun too_small_a_stake_is_refused() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), MINIMUM - 1);
    abort
}

#[test, expected_failure(abort_code = gateway::ENodeTaken)]
fun a_node_id_is_taken_once() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    register(&mut scenario, &clock, MALLORY, b"node-a".to_string(), STAKE);
    abort
}

#[test, expected_failure(abort_code = gateway::ESlashTooMuch)]
fun no_more_than_the_stake_is_slashed() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    as_operator!(&mut scenario, ALICE, |cap, registry, id, scenario| {
        registry.slash_worker_for(cap, id, STAKE + 1, &clock, scenario);
    });
    abort
}

#[test]
fun node_ids_are_rfc_1123_subdomains() {
    let good = vector[b"a", b"0", b"node-a", b"a.b.c", b"a-1.b--c"];
    good.do!(|name| assert!(gateway::is_node_id_for_testing(name.to_string())));
    let bad = vector[b"", b"-", b".", b"a.", b".a", b"a..b", b"a-", b"-a", b"a.-b", b"a-.b", b"A", b"a_b", b"a b"];
    bad.do!(|name| assert!(!gateway::is_node_id_for_testing(name.to_string())));
    assert!(gateway::is_node_id_for_testing(vector::tabulate!(253, |_| 97u8).to_string()));
    assert!(!gateway::is_node_id_for_testing(vector::tabulate!(254, |_| 97u8).to_string()));
}

fun schedule(
    registry: &mut WorkerRegistry,
    priority: u8,
    assigned_worker: String,
    clock: &Clock,
    scenario: &mut Scenario,
): String {
    registry.schedule_k8s_request(
        b"POST".to_string(),
        b"ConfigMap".to_string(),
        b"default".to_string(),
        b"x".to_string(),
        b"{}".to_string(),
        priority,
        assigned_worker,
        clock,
        scenario.ctx(),
    )
}

#[test]
fun a_request_is_scheduled_answered_once_and_forgotten() {
    let (mut scenario, clock) = begin(true);
    scenario.next_tx(OPERATOR);
    let admin = scenario.take_from_sender<AdminCap>();
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let master: MasterCap = admin.issue_master_cap(&registry, scenario.ctx());
    let id = schedule(&mut registry, 10, b"".to_string(), &clock, &mut scenario);
    assert!(id.length() == 64);
    assert!(event::events_by_type<gateway::K8sAPIRequestScheduledEvent>().length() == 1);
    master.record_k8s_result(
        &mut registry,
        id,
        true,
        b"sha256:00".to_string(),
        b"".to_string(),
        12,
        &clock,
    );
    assert!(event::events_by_type<gateway::K8sAPIResultEvent>().length() == 1);
    registry.forget_request(id, scenario.ctx());
    master.destroy_master_cap();
    ts::return_shared(registry);
    scenario.return_to_sender(admin);
    end(scenario, clock);
}

#[test, expected_failure(abort_code = gateway::EAnswered)]
fun a_second_result_is_refused() {
    let (mut scenario, clock) = begin(true);
    let admin = scenario.take_from_sender<AdminCap>();
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let master = admin.issue_master_cap(&registry, scenario.ctx());
    let id = schedule(&mut registry, 1, b"".to_string(), &clock, &mut scenario);
    2u64.do!(|_| {
        master.record_k8s_result(
            &mut registry,
            id,
            true,
            b"".to_string(),
            b"".to_string(),
            1,
            &clock,
        );
    });
    abort
}

#[test, expected_failure(abort_code = gateway::EPriority)]
fun a_priority_beyond_ten_is_refused() {
    let (mut scenario, clock) = begin(true);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    schedule(&mut registry, 11, b"".to_string(), &clock, &mut scenario);
    abort
}

#[test, expected_failure(abort_code = gateway::ENoSuchWorker)]
fun a_request_is_not_assigned_to_a_worker_that_is_not_active() {
    let (mut scenario, clock) = begin(false);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    schedule(&mut registry, 1, b"node-a".to_string(), &clock, &mut scenario);
    abort
}

#[test]
fun the_assigned_worker_answers() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    with_token!(&mut scenario, ALICE, ALICE, |registry, token, scenario| {
        let id = registry.schedule_k8s_request_with_token(
            token,
            b"POST".to_string(),
            b"Pod".to_string(),
            b"default".to_string(),
            b"x".to_string(),
            b"{}".to_string(),
            5,
            b"node-a".to_string(),
            &clock,
            scenario.ctx(),
        );
        registry.record_k8s_result_as_worker(
            token,
            id,
            false,
            b"".to_string(),
            b"denied".to_string(),
            1,
            &clock,
            scenario.ctx(),
        );
    });
    end(scenario, clock);
}

#[test, expected_failure(abort_code = gateway::ENotAssigned)]
fun another_worker_does_not_answer() {
    let (mut scenario, clock) = begin(true);
    register(&mut scenario, &clock, ALICE, b"node-a".to_string(), STAKE);
    register(&mut scenario, &clock, MALLORY, b"node-m".to_string(), STAKE);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let id = schedule(&mut registry, 1, b"node-a".to_string(), &clock, &mut scenario);
    ts::return_shared(registry);
    with_token!(&mut scenario, MALLORY, MALLORY, |registry, token, scenario| {
        registry.record_k8s_result_as_worker(
            token,
            id,
            true,
            b"".to_string(),
            b"".to_string(),
            1,
            &clock,
            scenario.ctx(),
        );
    });
    abort
}

#[test, expected_failure(abort_code = gateway::ENotOwner)]
fun nobody_forgets_the_request_of_somebody_else() {
    let (mut scenario, clock) = begin(true);
    scenario.next_tx(ALICE);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    let id = schedule(&mut registry, 1, b"".to_string(), &clock, &mut scenario);
    scenario.next_tx(MALLORY);
    registry.forget_request(id, scenario.ctx());
    abort
}

#[test, expected_failure(abort_code = gateway::EPolicy)]
fun a_policy_without_stake_is_refused() {
    gateway::new_policy(0, LIFETIME_MS, DELAY_MS, true, vector[], TREASURY);
}
