//! What was learned outlives a restart, and what makes no sense is left alone or passed over.

use std::time::Duration;

use evenkeel_engine::{Learned, Past, Timestamp};
use evenkeel_scaler::clock::Clock;
use evenkeel_scaler::control::kept::{Found, Keepable, Kept, KeptPast, Subject};
use evenkeel_scaler::keep::{Keeper, Store};
use evenkeel_scaler::kubernetes::config_maps::ConfigMaps;
use evenkeel_scaler::leader::{Leadership, Standing};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::World;
use super::fake_kubernetes::Wrong;

const CONFIG_MAPS: &str = "/api/v1/namespaces/evenkeel/configmaps";

fn subject(name: &str) -> Subject {
    Subject {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
        cluster: "main".to_owned(),
        consumer_group: name.to_owned(),
        topics: "trades".to_owned(),
    }
}

/// Something learned that differs from nothing.
fn learned(seconds: f64) -> Learned {
    serde_json::from_value(json!({"startup_seconds": seconds})).unwrap()
}

fn keeper(store: Store, owner: &str) -> (Keeper, Kept) {
    keeper_of(store, owner)
}

fn keeper_of<T: Keepable>(store: Store, owner: &str) -> (Keeper<T>, Kept<T>) {
    let (kept, clock) = (Kept::default(), Clock::start());
    let keeper = Keeper {
        store,
        owner: owner.to_owned(),
        kept: kept.clone(),
        leadership: Leadership::alone(clock),
        clock,
    };
    (keeper, kept)
}

fn config_maps(world: &World) -> Store {
    Store::ConfigMaps(ConfigMaps::new(world.cluster.clone(), "learned".to_owned()))
}

/// Writes what is kept, as at the end of a process.
async fn write<T: Keepable>(keeper: Keeper<T>) {
    let end = CancellationToken::new();
    end.cancel();
    keeper.run(end).await;
}

/// What a new process finds.
async fn found(store: Store, owner: &str, name: &str) -> Found {
    let (keeper, kept) = keeper(store, owner);
    keeper.read().await;
    kept.find(&subject(name))
}

#[tokio::test]
async fn what_was_learned_is_there_after_a_restart_in_either_store() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::start().now();
    for store in [
        config_maps(&world),
        Store::Folder(folder.path().join("state")),
    ] {
        let (keeper, kept) = keeper(store.clone(), "evenkeel");
        for number in 0..40 {
            kept.note(
                &subject(&format!("target-{number}")),
                learned(f64::from(number) + 1.0),
                now,
            );
        }
        write(keeper).await;
        for number in 0..40 {
            let name = format!("target-{number}");
            let expected = Found::Learned(Box::new(learned(f64::from(number) + 1.0)));
            assert_eq!(found(store.clone(), "evenkeel", &name).await, expected);
        }
        assert_eq!(found(store, "evenkeel", "another").await, Found::Nothing);
    }
    // Bounded in number, whatever the number of targets, and only those that changed are written.
    let maps = world.api.all(CONFIG_MAPS);
    assert!((2..=16).contains(&maps.len()), "{}", maps.len());
}

#[tokio::test]
async fn only_what_has_changed_is_written() {
    let world = World::start().await;
    let (keeper, kept) = keeper(config_maps(&world), "evenkeel");
    let now = Clock::start().now();
    kept.note(&subject("trades"), learned(60.0), now);
    // Nearly the same is not worth a write.
    kept.note(
        &subject("trades"),
        learned(61.0),
        now.plus(Duration::from_secs(60)),
    );
    write(keeper).await;
    let writes = |verb: &str| world.api.requests(&format!("{verb} {CONFIG_MAPS}")).len();
    assert_eq!((writes("POST"), writes("PUT")), (1, 1));
}

#[tokio::test]
async fn what_is_no_json_is_learned_anew_and_what_others_wrote_is_left_alone() {
    let world = World::start().await;
    let (keeper, kept) = keeper(config_maps(&world), "evenkeel");
    let now = Clock::start().now();
    kept.note(&subject("trades"), learned(60.0), now);
    write(keeper).await;
    let name = world.api.all(CONFIG_MAPS)[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let text = |name: &str| -> String {
        let map = world.api.get(CONFIG_MAPS, name).unwrap();
        map["data"]["learned.json"].as_str().unwrap().to_owned()
    };
    let whole = text(&name);
    let put = |text: &str| {
        world.api.put(
            CONFIG_MAPS,
            &name,
            json!({"metadata": {}, "data": {"learned.json": text}}),
        );
    };
    // Truncated: passed over, and written anew when something is learned.
    put(&whole[..whole.len() / 2]);
    assert_eq!(
        found(config_maps(&world), "evenkeel", "trades").await,
        Found::Nothing
    );
    write_again(&world, "evenkeel").await;
    assert_eq!(
        found(config_maps(&world), "evenkeel", "trades").await,
        Found::Learned(Box::new(learned(90.0)))
    );
    // Of a newer version, or of another release: passed over, and not written over.
    let mut newer: Value = serde_json::from_str(&whole).unwrap();
    newer["version"] = json!(99);
    newer["targets"] = json!("of another shape");
    for (text_there, owner) in [(newer.to_string(), "evenkeel"), (whole, "another-release")] {
        put(&text_there);
        assert_eq!(
            found(config_maps(&world), owner, "trades").await,
            Found::Nothing
        );
        write_again(&world, owner).await;
        assert_eq!(text(&name), text_there);
    }
}

/// A process that has learned something else about the same target writes it.
async fn write_again(world: &World, owner: &str) {
    let (keeper, kept) = keeper(config_maps(world), owner);
    keeper.read().await;
    kept.note(&subject("trades"), learned(90.0), Clock::start().now());
    write(keeper).await;
}

#[tokio::test]
async fn what_cannot_be_read_yet_is_waited_for_and_what_cannot_be_written_is_tried_again() {
    let world = World::start().await;
    let (keeper, kept) = keeper(config_maps(&world), "evenkeel");
    kept.note(&subject("trades"), learned(60.0), Clock::start().now());
    world.api.wrong("/configmaps", Wrong::Refused(500));
    let end = CancellationToken::new();
    let running = tokio::spawn(keeper.run(end.clone()));
    assert_eq!(
        found(config_maps(&world), "evenkeel", "trades").await,
        Found::NotYet
    );
    world.api.right();
    end.cancel();
    running.await.unwrap();
    assert_eq!(
        found(config_maps(&world), "evenkeel", "trades").await,
        Found::Learned(Box::new(learned(60.0)))
    );
}

#[tokio::test]
async fn nobody_writes_who_does_not_lead() {
    let world = World::start().await;
    let clock = Clock::start();
    let (_standing, leadership) = Leadership::among_others(clock);
    let kept = Kept::default();
    kept.note(&subject("trades"), learned(60.0), clock.now());
    let keeper = Keeper {
        store: config_maps(&world),
        owner: "evenkeel".to_owned(),
        kept,
        leadership,
        clock,
    };
    write(keeper).await;
    assert!(world.api.all(CONFIG_MAPS).is_empty());
}

#[test]
fn an_edit_of_the_metadata_keeps_what_is_of_the_same_group_and_topics() {
    let kept = Kept::default();
    kept.complete();
    let now = Timestamp::from_secs(1_000);
    kept.note(&subject("trades"), learned(60.0), now);
    assert_eq!(
        kept.find(&subject("trades")),
        Found::Learned(Box::new(learned(60.0)))
    );
    let other_group = Subject {
        consumer_group: "another".to_owned(),
        ..subject("trades")
    };
    assert_eq!(kept.find(&other_group), Found::Nothing);
    // What nobody has confirmed for weeks is forgotten when it is written next.
    let late = now.plus(Duration::from_secs(15 * 86_400));
    kept.note(&subject("orders"), learned(60.0), late);
    let parts = kept.changed(|_| 0, late);
    let written: Vec<&str> = parts[&0]
        .iter()
        .map(|entry| entry.subject.name.as_str())
        .collect();
    assert_eq!(written, ["orders"]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_writes_while_it_renews_its_lease() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Folder(folder.path().to_owned());
    let (keeper, kept) = keeper(store.clone(), "evenkeel");
    let (standing, leadership) = Leadership::among_others(keeper.clock);
    let keeper = Keeper {
        leadership,
        ..keeper
    };
    let now = keeper.clock.now();
    kept.note(&subject("trades"), learned(7.0), now);
    let running = tokio::spawn(keeper.run(CancellationToken::new()));
    // A minute, with a renewal every two seconds.
    for renewal in 0..30 {
        let until = now.plus(Duration::from_secs(3_600 + renewal));
        standing.send_replace(Standing::Leads { until });
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    running.abort();
    let expected = Found::Learned(Box::new(learned(7.0)));
    assert_eq!(found(store, "evenkeel", "trades").await, expected);
}

/// So many surges, one each ten minutes.
fn past(surges: u32) -> KeptPast {
    let minutes = 29_000_000..29_000_000 + 10 * (surges + 2);
    let rate = |minute: u32| {
        if minute.is_multiple_of(10) {
            98_765.4
        } else {
            1_000.5
        }
    };
    KeptPast {
        time_zone: "Europe/Berlin".to_owned(),
        past: Past::of(minutes.map(|minute| (minute, rate(minute)))),
    }
}

/// What a new process finds of a past.
async fn past_found(store: &Store, name: &str) -> Found<KeptPast> {
    let (keeper, kept) = keeper_of(store.of_pasts(), "evenkeel");
    keeper.read().await;
    kept.find(&subject(name))
}

#[tokio::test]
async fn a_past_is_beside_what_was_learned_and_neither_is_lost_with_the_other() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let now = Clock::start().now();
    for store in [
        config_maps(&world),
        Store::Folder(folder.path().join("state")),
    ] {
        let (keeper, kept) = keeper(store.clone(), "evenkeel");
        kept.note(&subject("trades"), learned(60.0), now);
        write(keeper).await;
        let (keeper, kept) = keeper_of(store.of_pasts(), "evenkeel");
        kept.note(&subject("trades"), past(300), now);
        write(keeper).await;
        let expected = Found::Learned(Box::new(past(300)));
        assert_eq!(past_found(&store, "trades").await, expected);
        let expected = Found::Learned(Box::new(learned(60.0)));
        assert_eq!(found(store, "evenkeel", "trades").await, expected);
    }
    // A past that is no past, or too large, is passed over; the rest is there.
    let maps = world.api.all(CONFIG_MAPS);
    let name = |map: &Value| map["metadata"]["name"].as_str().unwrap().to_owned();
    let mut names = maps.iter().map(name);
    let of_past = names
        .find(|name| name.starts_with("learned-past-"))
        .unwrap();
    let head = r#"{"version":1,"owner":"evenkeel","targets":"#;
    for damaged in [
        format!(r#"{head}[{{"past":7}}]}}"#),
        format!(r#"{head}[{}]}}"#, " ".repeat(1 << 20)),
        r#"{"version":2,"owner":"evenkeel"}"#.to_owned(),
    ] {
        let map = json!({"metadata": {}, "data": {"learned.json": damaged}});
        world.api.put(CONFIG_MAPS, &of_past, map);
        let store = config_maps(&world);
        assert_eq!(past_found(&store, "trades").await, Found::Nothing);
        let expected = Found::Learned(Box::new(learned(60.0)));
        assert_eq!(found(store, "evenkeel", "trades").await, expected);
    }
}

#[tokio::test]
async fn pasts_of_many_targets_keep_their_newest_days_and_fit() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Folder(folder.path().to_owned());
    let (keeper, kept) = keeper_of(store.of_pasts(), "evenkeel");
    let now = Clock::start().now();
    let whole = past(2_000);
    let names = || (0..600).map(|number| format!("target-{number}"));
    for name in names() {
        kept.note(&subject(&name), whole.clone(), now);
    }
    write(keeper).await;
    let (keeper, kept) = keeper_of::<KeptPast>(store.of_pasts(), "evenkeel");
    keeper.read().await;
    for name in names() {
        let Found::Learned(found) = kept.find(&subject(&name)) else {
            panic!("{name} is lost");
        };
        let known = found.past.surges();
        assert!((100..2_000).contains(&known), "{known}");
        assert!(found.past.is_sound());
    }
    for file in std::fs::read_dir(folder.path().join("past")).unwrap() {
        let bytes = file.unwrap().metadata().unwrap().len();
        assert!(bytes <= 900_000, "{bytes}");
    }
}

/// Every minute is news, so how often it is written is a matter of time alone.
#[tokio::test(start_paused = true)]
async fn a_past_is_written_every_quarter_of_an_hour_and_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Folder(folder.path().to_owned());
    let (keeper, kept) = keeper_of(store.of_pasts(), "evenkeel");
    let (now, end) = (keeper.clock.now(), CancellationToken::new());
    let running = tokio::spawn(keeper.run(end.clone()));
    let known = async || match past_found(&store, "trades").await {
        Found::Learned(found) => found.past.surges(),
        _ => 0,
    };
    // What is in the file after each of 35 minutes.
    let mut written = std::collections::BTreeSet::new();
    for minute in 0..35 {
        kept.note(
            &subject("trades"),
            past(minute + 10),
            now.plus(Duration::from_secs(60)),
        );
        tokio::time::sleep(Duration::from_secs(60)).await;
        written.insert(known().await);
    }
    assert!(written.len() <= 3, "{written:?}");
    end.cancel();
    running.await.unwrap();
    assert!(known().await > *written.last().unwrap());
}
