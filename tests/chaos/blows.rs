//! What is done to the consumers, the database and the broker.

use crate::world::World;

/// One blow; after each, every partition has to move on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// A member is killed, another starts in its place.
    Kill,
    /// A member is frozen until the others have its partitions, and then goes on.
    Freeze,
    /// A member is frozen in the middle of a transaction, in which it already has the offsets, and
    /// goes on when its successor has written the same records and wants them too.
    FreezeInTransaction,
    /// A member more.
    Join,
    /// A member is asked to end, and must drain and exit 0.
    Leave,
    /// The database crashes and comes back.
    CrashDatabase,
    /// The broker crashes and comes back.
    CrashBroker,
    /// Half of the members are killed while the database is away.
    KillManyWithoutDatabase,
    /// A member is frozen while the broker restarts, another leaves meanwhile.
    FreezeWithoutBroker,
    /// Kafka deletes what was not read.
    Retention,
    /// The database only reads for a while.
    ReadOnly,
    /// The table is locked for a while, as by an ALTER TABLE.
    AlterTable,
    /// Poison that is larger than most clients send.
    Large,
}

const ALL: [Blow; 13] = [
    Blow::Kill,
    Blow::Freeze,
    Blow::FreezeInTransaction,
    Blow::Join,
    Blow::Leave,
    Blow::CrashDatabase,
    Blow::CrashBroker,
    Blow::KillManyWithoutDatabase,
    Blow::FreezeWithoutBroker,
    Blow::Retention,
    Blow::ReadOnly,
    Blow::AlterTable,
    Blow::Large,
];

/// An endless order of blows, the same for the same seed.
#[derive(Debug)]
pub struct Order(u64);

// === impl Blow ===

impl Blow {
    /// All of them, and the one that only the fence can ward off once more.
    pub fn each_once() -> impl Iterator<Item = Self> {
        ALL.into_iter().chain([Self::FreezeInTransaction])
    }
}

// === impl Order ===

impl From<u64> for Order {
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

impl Order {
    /// The next one.
    pub fn next(&mut self) -> Blow {
        // Knuth's generator for MMIX; its high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        let index = usize::try_from(self.0 >> 33).unwrap_or(0) % ALL.len();
        ALL.get(index).copied().unwrap_or(Blow::Kill)
    }
}

// === impl World ===

impl World {
    /// Strikes, and waits until every partition has moved on.
    pub async fn strike(&mut self, blow: Blow) {
        self.say(&format!("{blow:?}"));
        self.replace_killed();
        match blow {
            Blow::Kill => {
                self.kill_member().await;
                self.add_member();
            }
            Blow::Freeze => {
                let frozen = self.freeze_member().await;
                self.wait_until_all_move_on().await;
                self.thaw(frozen).await;
            }
            Blow::FreezeInTransaction => {
                let frozen = self.freeze_member_in_transaction().await;
                self.wait_until_another_waits_for(&frozen).await;
                self.thaw(frozen).await;
            }
            Blow::Join => self.add_member(),
            Blow::Leave => self.end_member().await,
            Blow::CrashDatabase => {
                self.database.crash().await;
                self.database
                    .restart()
                    .await
                    .expect("PostgreSQL starts again");
            }
            Blow::CrashBroker => self.broker.restart().await.expect("Kafka starts again"),
            Blow::KillManyWithoutDatabase => {
                self.database.crash().await;
                for _ in 0..self.members() / 2 {
                    self.kill_member().await;
                    self.add_member();
                }
                self.database
                    .restart()
                    .await
                    .expect("PostgreSQL starts again");
            }
            Blow::FreezeWithoutBroker => {
                let frozen = self.freeze_member().await;
                self.broker.restart().await.expect("Kafka starts again");
                self.end_member().await;
                self.wait_until_all_move_on().await;
                self.thaw(frozen).await;
                self.add_member();
            }
            Blow::Retention => self.delete_unread().await,
            Blow::ReadOnly => self.let_only_read().await,
            Blow::AlterTable => self.alter_table().await,
            Blow::Large => self.send_large().await,
        }
        self.wait_until_all_move_on().await;
    }
}
