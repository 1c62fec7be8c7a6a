//! Tables: what the busiest replica carries, and how many it takes.

use super::{Assignor, Layout, Needs};

fn layout(assignor: Assignor, topic_sizes: &[usize], members_per_replica: usize) -> Layout {
    Layout {
        assignor,
        topic_sizes: topic_sizes.to_vec(),
        members_per_replica,
        present: None,
    }
}

#[test]
fn uniform_load_yields_only_the_useful_counts() {
    let layout = layout(Assignor::Balanced, &[24], 1);
    for (need, expected) in [
        (100.0, 24),
        (50.1, 24),
        (50.0, 12),
        (41.7, 12),
        (33.3, 8),
        (20.0, 5),
        (4.0, 1),
        (0.0, 1),
    ] {
        let needs = vec![need; 24];
        assert_eq!(
            Needs::new(&layout, &needs).smallest(100.0),
            expected,
            "{need}"
        );
    }
}

#[test]
fn a_count_is_lowered_to_the_start_of_its_class() {
    let balanced = layout(Assignor::Balanced, &[24], 1);
    for (replicas, useful) in [
        (1, 1),
        (7, 6),
        (11, 8),
        (12, 12),
        (13, 12),
        (23, 12),
        (24, 24),
        (99, 24),
    ] {
        assert_eq!(balanced.useful_at_most(replicas), useful, "{replicas}");
    }
    let range = layout(Assignor::Range, &[6, 4], 1);
    for (replicas, useful) in [(1, 1), (2, 2), (3, 3), (4, 4), (5, 4), (6, 6), (9, 6)] {
        assert_eq!(range.useful_at_most(replicas), useful, "{replicas}");
    }
}

#[test]
fn range_piles_the_extra_partition_of_every_topic_on_one_member() {
    let topics = [3, 3, 3, 3];
    let needs = vec![10.0; 12];
    let range = layout(Assignor::Range, &topics, 1);
    let balanced = layout(Assignor::Balanced, &topics, 1);
    assert_eq!(Needs::new(&range, &needs).busiest(2), 80.0);
    assert_eq!(Needs::new(&balanced, &needs).busiest(2), 60.0);
    // More than three members have nothing to do under range: twelve would not help.
    assert_eq!(Needs::new(&range, &needs).smallest(30.0), 3);
    assert_eq!(Needs::new(&balanced, &needs).smallest(30.0), 4);
}

#[test]
fn several_members_a_replica_share_its_capacity() {
    let layout = layout(Assignor::Balanced, &[24], 4);
    let needs = vec![10.0; 24];
    assert_eq!(Needs::new(&layout, &needs).busiest(3), 80.0);
    assert_eq!(Needs::new(&layout, &needs).smallest(80.0), 3);
    assert_eq!(Needs::new(&layout, &needs).smallest(40.0), 6);
    // 48 members for 24 partitions: the busiest replica may hold as many as with 24 members.
    assert_eq!(Needs::new(&layout, &needs).busiest(12), 40.0);
    assert_eq!(layout.useful_at_most(12), 6);
}

#[test]
fn a_heavy_partition_meets_ordinary_ones_and_not_all_other_heavy_ones() {
    let layout = layout(Assignor::Balanced, &[8], 1);
    let mut needs = vec![10.0; 8];
    needs[3] = 60.0;
    let needs = Needs::new(&layout, &needs);
    assert_eq!(needs.busiest(8), 60.0);
    assert_eq!(needs.busiest(4), 70.0);
    assert_eq!(needs.busiest(1), 130.0);
    assert_eq!(needs.smallest(69.0), 8);
    assert_eq!(needs.smallest(70.0), 4);
}

#[test]
fn the_estimate_never_falls_when_a_replica_holds_more_or_a_need_grows() {
    let layout = layout(Assignor::Balanced, &[30], 1);
    let mut needs: Vec<f64> = (0..30_u32)
        .map(|place| f64::from(place * place % 17))
        .collect();
    for grown in 0..30 {
        let before = needs.clone();
        needs[grown] += 5.0;
        let (before, after) = (Needs::new(&layout, &before), Needs::new(&layout, &needs));
        for replicas in 1..=30 {
            assert!(after.busiest(replicas) >= before.busiest(replicas) - 1e-9);
        }
        assert!(after.smallest(60.0) >= before.smallest(60.0));
    }
}

#[test]
fn names_tell_range_from_all_that_balance() {
    for (name, assignor) in [
        ("range", Assignor::Range),
        ("cooperative-sticky", Assignor::Balanced),
        ("uniform", Assignor::Balanced),
        ("", Assignor::Balanced),
    ] {
        assert_eq!(Assignor::named(name), assignor, "{name}");
    }
}
