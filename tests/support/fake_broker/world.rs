//! What the fake cluster consists of, and what a script can do to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The requests that the fake cluster answers, by Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Api {
    ListOffsets = 2,
    Metadata = 3,
    OffsetFetch = 9,
    FindCoordinator = 10,
    DescribeGroups = 15,
    SaslHandshake = 17,
    ApiVersions = 18,
    SaslAuthenticate = 36,
    ConsumerGroupDescribe = 69,
}

impl Api {
    /// Those that observing takes, without what logging in does.
    pub const OBSERVING: [Self; 7] = [
        Self::ApiVersions,
        Self::Metadata,
        Self::FindCoordinator,
        Self::OffsetFetch,
        Self::DescribeGroups,
        Self::ConsumerGroupDescribe,
        Self::ListOffsets,
    ];
}

/// The whole cluster.
#[derive(Debug)]
pub struct World {
    pub brokers: BTreeMap<i32, SocketAddr>,
    pub topics: BTreeMap<String, FakeTopic>,
    pub groups: BTreeMap<String, FakeGroup>,
    /// The versions that the brokers say they speak; an api that is not in it is not spoken.
    pub versions: BTreeMap<Api, (i16, i16)>,
    pub faults: Vec<Fault>,
    /// Every request in order of arrival: who was asked what.
    pub journal: Vec<(i32, Api)>,
    /// Connections accepted by broker.
    pub connections: BTreeMap<i32, usize>,
    /// Every message of OAUTHBEARER that was shown; all are accepted.
    pub shown: Vec<String>,
    topics_made: u128,
}

#[derive(Clone, Debug, Default)]
pub struct FakeTopic {
    pub id: u128,
    pub error: i16,
    pub partitions: BTreeMap<i32, FakePartition>,
}

#[derive(Clone, Debug, Default)]
pub struct FakePartition {
    pub leader: i32,
    /// The leader that metadata still names, where it is behind.
    pub rumoured_leader: Option<i32>,
    pub start: i64,
    pub end: i64,
    /// The last stable offset; the end where absent.
    pub stable_end: Option<i64>,
    /// The answer to questions by timestamp; -1 where absent.
    pub since: Option<i64>,
    /// How the record there is dated; not at all where absent.
    pub dated: Option<i64>,
    /// ListOffsets answers this error.
    pub error: i16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Classic,
    Consumer,
    Share,
}

#[derive(Clone, Debug, Default)]
pub struct FakeGroup {
    pub coordinator: i32,
    pub kind: Kind,
    pub state: String,
    pub protocol_type: String,
    pub assignor: String,
    pub members: Vec<FakeMember>,
    pub committed: BTreeMap<(String, i32), i64>,
    /// Errors of single partitions in OffsetFetch.
    pub committed_errors: BTreeMap<(String, i32), i16>,
    /// Every question about the group answers this error.
    pub error: i16,
    /// OffsetFetch answers this error for the whole group.
    pub offsets_error: i16,
}

#[derive(Clone, Debug, Default)]
pub struct FakeMember {
    pub id: String,
    pub host: String,
    pub assigned: Vec<(String, Vec<i32>)>,
    pub target: Vec<(String, Vec<i32>)>,
    /// Classic only: these bytes instead of the assignment.
    pub raw_assignment: Option<Vec<u8>>,
}

/// A fault that strikes matching requests.
#[derive(Clone, Debug)]
pub struct Fault {
    pub node: Option<i32>,
    pub api: Option<Api>,
    pub how: How,
    /// How many requests it strikes.
    pub times: usize,
}

#[derive(Clone, Debug)]
pub enum How {
    /// The request is read and never answered.
    Silent,
    /// The connection closes instead of an answer.
    Close,
    /// These bytes after the correlation id.
    Garbage(Vec<u8>),
    /// A frame's length and nothing else.
    Length(i32),
    /// An answer to a question that nobody asked.
    Unasked,
    /// The right answer, changed; it begins with the number of its question.
    Changed(Change),
}

/// Changes the bytes of an answer.
#[derive(Clone)]
pub struct Change(pub Arc<Changes>);

type Changes = dyn Fn(&mut Vec<u8>) + Send + Sync;

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Change")
    }
}

// === impl Api ===

impl Api {
    pub fn from_key(key: i16) -> Option<Self> {
        use Api::*;
        [
            ListOffsets,
            Metadata,
            OffsetFetch,
            FindCoordinator,
            DescribeGroups,
            SaslHandshake,
            ApiVersions,
            SaslAuthenticate,
            ConsumerGroupDescribe,
        ]
        .into_iter()
        .find(|api| *api as i16 == key)
    }
}

// === impl World ===

impl Default for World {
    /// An empty cluster that speaks what Kafka 4 does.
    fn default() -> Self {
        Self {
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            versions: BTreeMap::from([
                (Api::ListOffsets, (1, 11)),
                (Api::Metadata, (0, 13)),
                (Api::OffsetFetch, (1, 10)),
                (Api::FindCoordinator, (0, 6)),
                (Api::DescribeGroups, (0, 6)),
                (Api::SaslHandshake, (0, 1)),
                (Api::ApiVersions, (0, 4)),
                (Api::SaslAuthenticate, (0, 2)),
                (Api::ConsumerGroupDescribe, (0, 1)),
            ]),
            faults: Vec::new(),
            journal: Vec::new(),
            connections: BTreeMap::new(),
            shown: Vec::new(),
            topics_made: 0,
        }
    }
}

impl World {
    /// Creates a topic, or creates it again; leaders take turns. All logs span 0 to `end`.
    pub fn topic(&mut self, name: &str, partitions: i32, end: i64) {
        self.topics_made += 1;
        let brokers = self.brokers.len() as i32;
        let partition = |number: i32| FakePartition {
            leader: number % brokers + 1,
            end,
            ..FakePartition::default()
        };
        let topic = FakeTopic {
            id: self.topics_made,
            error: 0,
            partitions: (0..partitions).map(|p| (p, partition(p))).collect(),
        };
        self.topics.insert(name.to_owned(), topic);
    }

    pub fn partition(&mut self, topic: &str, number: i32) -> &mut FakePartition {
        let topic = self.topics.get_mut(topic).expect("the topic exists");
        topic
            .partitions
            .get_mut(&number)
            .expect("the partition exists")
    }

    /// Creates a stable classic group with one member that owns the whole topic, committed to
    /// `committed` everywhere.
    pub fn classic_group(&mut self, name: &str, topic: &str, committed: i64) {
        let numbers: Vec<i32> = self.topics[topic].partitions.keys().copied().collect();
        let brokers = self.brokers.len();
        let group = FakeGroup {
            coordinator: (self.groups.len() % brokers) as i32 + 1,
            kind: Kind::Classic,
            state: "Stable".to_owned(),
            protocol_type: "consumer".to_owned(),
            assignor: "range".to_owned(),
            members: vec![FakeMember {
                id: format!("{name}-1"),
                host: "/10.0.0.1".to_owned(),
                assigned: vec![(topic.to_owned(), numbers.clone())],
                ..FakeMember::default()
            }],
            committed: numbers
                .into_iter()
                .map(|number| ((topic.to_owned(), number), committed))
                .collect(),
            ..FakeGroup::default()
        };
        self.groups.insert(name.to_owned(), group);
    }

    /// The same for a KIP-848 group.
    pub fn consumer_group(&mut self, name: &str, topic: &str, committed: i64) {
        self.classic_group(name, topic, committed);
        let group = self.group(name);
        group.kind = Kind::Consumer;
        group.assignor = "uniform".to_owned();
        for member in &mut group.members {
            member.target = member.assigned.clone();
        }
    }

    pub fn group(&mut self, name: &str) -> &mut FakeGroup {
        self.groups.get_mut(name).expect("the group exists")
    }

    /// The next `times` matching requests are answered wrongly.
    pub fn fault(&mut self, node: Option<i32>, api: Option<Api>, how: How, times: usize) {
        self.faults.push(Fault {
            node,
            api,
            how,
            times,
        });
    }

    /// How many requests of one kind arrived since the journal was last cleared.
    pub fn count(&self, api: Api) -> usize {
        self.journal
            .iter()
            .filter(|(_, asked)| *asked == api)
            .count()
    }

    /// Notes a request and answers which fault strikes it.
    pub(super) fn begin(&mut self, node: i32, key: i16) -> Option<How> {
        let api = Api::from_key(key)?;
        self.journal.push((node, api));
        let fault = self.faults.iter_mut().find(|fault| {
            fault.times > 0
                && fault.node.is_none_or(|struck| struck == node)
                && fault.api.is_none_or(|struck| struck == api)
        })?;
        fault.times -= 1;
        Some(fault.how.clone())
    }
}
