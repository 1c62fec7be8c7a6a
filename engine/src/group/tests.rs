//! Tables: how many replicas a list of members is.

use super::{replicas, same_assignment, sorted_members};
use crate::{AssignedTopic, Member};

fn check(hosts: &[&str], expected: usize) {
    let members: Vec<Member> = hosts
        .iter()
        .enumerate()
        .map(|(place, host)| Member {
            id: format!("member-{place}"),
            host: (*host).to_owned(),
            assigned: Vec::new(),
            target: None,
        })
        .collect();
    let replica_of = replicas(&sorted_members(&members));
    let count = replica_of.iter().max().map_or(0, |last| last + 1);
    assert_eq!(usize::try_from(count).unwrap(), expected, "{hosts:?}");
}

#[test]
fn members_of_one_host_are_one_replica_save_on_the_loopback() {
    check(&[], 0);
    check(&["/10.0.0.1", "/10.0.0.2", "/10.0.0.1"], 2);
    check(&["/127.0.0.1", "/127.0.0.1", "127.0.0.1"], 3);
    check(&["localhost", "::1", "/0:0:0:0:0:0:0:1", "[::1]"], 4);
    check(&["", "", "/10.0.0.1"], 3);
}

#[test]
fn assignments_are_compared_by_what_they_name() {
    let topic = |topic: &str, partitions: &[u32]| AssignedTopic {
        topic: topic.to_owned(),
        partitions: partitions.to_vec(),
    };
    let one = [topic("a", &[1, 2]), topic("b", &[0])];
    assert!(same_assignment(
        &one,
        &[topic("b", &[0]), topic("a", &[2, 1]), topic("c", &[])]
    ));
    assert!(!same_assignment(&one, &[topic("a", &[1, 2])]));
}
