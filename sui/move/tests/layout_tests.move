/// The bytes of every struct and event that the master reads. sui/move_layout_test.ts compares the
/// same lines with what the master's own decoder expects.
#[test_only]
module nautilus::layout_tests;

use nautilus::k8s_gateway::{Self as gateway, SealToken, WorkerRegistry};
use std::bcs;
use sui::clock;
use sui::coin;
use sui::sui::SUI;
use sui::test_scenario as ts;

const ALICE: address = @0xa1;
const TOKEN: address = @0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee;
const TIMESTAMP: u64 = 1_790_000_000_000;

#[test]
fun entry_and_events() {
    let expected = vector[
        // layout WorkerEntry
        x"00000000000000000000000000000000000000000000000000000000000000a1066e6f64652d6100f2052a010000000101006c50c4a0010000",
        // layout WorkerRegisteredEvent
        x"066e6f64652d6100000000000000000000000000000000000000000000000000000000000000a100f2052a01000000eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee006c50c4a0010000",
        // layout WorkerStatusChangedEvent
        x"066e6f64652d610103006c50c4a0010000",
        // layout SealTokenRevokedEvent
        x"066e6f64652d61eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee006c50c4a0010000",
        // layout K8sAPIRequestScheduledEvent
        x"03722d3104504f535409436f6e6669674d61700764656661756c740178027b7deeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee00000000000000000000000000000000000000000000000000000000000000a10a066e6f64652d61006c50c4a0010000",
        // layout K8sAPIResultEvent
        x"03722d31066e6f64652d6101097368613235363a3030000c00000000000000006c50c4a0010000",
    ];
    assert!(gateway::layouts_for_testing(ALICE, TOKEN, TIMESTAMP) == expected);
}

#[test]
fun token_and_registry() {
    let mut scenario = ts::begin(ALICE);
    let clock = clock::create_for_testing(scenario.ctx());
    let policy = gateway::new_policy(
        1_000_000_000,
        1_000_000,
        0,
        false,
        vector[b"register".to_string()],
        ALICE,
    );
    let cluster_id = vector::tabulate!(16, |_| 1);
    let cap = gateway::create_registry(cluster_id, policy, scenario.ctx());
    transfer::public_transfer(cap, ALICE);
    scenario.next_tx(ALICE);
    let mut registry = scenario.take_shared<WorkerRegistry>();
    registry.stake_and_register_worker(
        coin::mint_for_testing<SUI>(5_000_000_000, scenario.ctx()),
        b"node-a".to_string(),
        vector::tabulate!(32, |_| 7),
        &clock,
        scenario.ctx(),
    );
    scenario.next_tx(ALICE);
    let token = scenario.take_from_sender<SealToken>();

    let mut expected = object::id(&token).to_bytes();
    expected.append(
        // layout SealToken
        x"100101010101010101010101010101010100000000000000000000000000000000000000000000000000000000000000a1066e6f64652d6120070707070707070707070707070707070707070707070707070707070707070701087265676973746572000000000000000040420f0000000000",
    );
    assert!(bcs::to_bytes(&token) == expected);

    // id, cluster id, id of the table, size of the table.
    let bytes = bcs::to_bytes(&registry);
    assert!(vector::tabulate!(32, |i| bytes[i]) == object::id(&registry).to_bytes());
    let mut without_ids = vector::tabulate!(17, |i| bytes[32 + i]);
    without_ids.append(vector::tabulate!(8, |i| bytes[81 + i]));
    assert!(bytes.length() == 89);
    assert!(
        without_ids ==
        // layout WorkerRegistry
        x"10010101010101010101010101010101010100000000000000",
    );

    ts::return_shared(registry);
    scenario.return_to_sender(token);
    clock.destroy_for_testing();
    scenario.end();
}
