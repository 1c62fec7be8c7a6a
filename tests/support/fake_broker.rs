//! A scripted Kafka cluster in this process: several brokers on free ports, speaking through
//! `kafka-protocol`'s own types.
//!
//! It answers what an observer asks (metadata, coordinators, commits, groups, log offsets) from a
//! [`World`] that a test builds and changes, counts requests, and misbehaves on command. It stores no
//! records and runs no group protocol: members and offsets are what the script says. Like Kafka it
//! refuses questions to the wrong leader or coordinator, duplicate partitions, and versions that it
//! does not speak.

#![allow(
    dead_code,
    unused_imports,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_sign_loss,
    clippy::enum_variant_names,
    reason = "each including crate uses another part, and a wrong script fails loudly"
)]

#[path = "fake_broker/answers.rs"]
mod answers;
#[path = "fake_broker/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use world::{
    Api, Change, FakeGroup, FakeMember, FakePartition, FakeTopic, Fault, How, Kind, World,
};

/// A running cluster; its brokers stop when it is dropped.
pub struct FakeCluster {
    world: Arc<Mutex<World>>,
    addresses: BTreeMap<i32, SocketAddr>,
    cut: watch::Sender<u64>,
    _brokers: JoinSet<()>,
}

// === impl FakeCluster ===

impl FakeCluster {
    /// Starts brokers 1 to `brokers`.
    pub async fn start(brokers: i32) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let cut = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        let mut addresses = BTreeMap::new();
        for node in 1..=brokers {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            addresses.insert(node, listener.local_addr().unwrap());
            tasks.spawn(accept(listener, node, Arc::clone(&world), cut.subscribe()));
        }
        lock(&world).brokers = addresses.clone();
        Self {
            world,
            addresses,
            cut,
            _brokers: tasks,
        }
    }

    /// The addresses of all brokers.
    pub fn bootstrap_servers(&self) -> Vec<String> {
        self.addresses.values().map(ToString::to_string).collect()
    }

    /// Reads or changes the world.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Changes several things in the world at once.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut lock(&self.world));
    }

    /// Ends every open connection.
    pub fn cut_connections(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }
}

fn lock(world: &Mutex<World>) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    node: i32,
    world: Arc<Mutex<World>>,
    cut: watch::Receiver<u64>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        *lock(&world).connections.entry(node).or_default() += 1;
        let mut cut = cut.clone();
        cut.mark_unchanged();
        let world = Arc::clone(&world);
        connections.spawn(async move {
            tokio::select! {
                _ = serve(stream, node, world) => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn serve(mut stream: TcpStream, node: i32, world: Arc<Mutex<World>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let length = stream.read_u32().await?;
        let mut frame = vec![0; length as usize];
        stream.read_exact(&mut frame).await?;
        let mut frame = Bytes::from(frame);
        let key = frame.slice(0..2).get_i16();
        let correlation_id = frame.slice(4..8).get_i32();
        let fault = lock(&world).begin(node, key);
        match fault {
            None => {
                let Some(body) = answers::answer(&world, node, &mut frame) else {
                    return Ok(());
                };
                write_frame(&mut stream, &body).await?;
            }
            Some(How::Changed(Change(change))) => {
                let Some(body) = answers::answer(&world, node, &mut frame) else {
                    return Ok(());
                };
                let mut body = body.to_vec();
                change(&mut body);
                write_frame(&mut stream, &body).await?;
            }
            Some(How::Silent) => {}
            Some(How::Close) => return Ok(()),
            Some(How::Garbage(garbage)) => {
                let mut body = BytesMut::new();
                body.put_i32(correlation_id);
                body.put_slice(&garbage);
                write_frame(&mut stream, &body).await?;
            }
            Some(How::Length(length)) => stream.write_all(&length.to_be_bytes()).await?,
            Some(How::Unasked) => write_frame(&mut stream, &i32::MAX.to_be_bytes()).await?,
        }
    }
}

async fn write_frame(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let mut frame = BytesMut::with_capacity(body.len() + 4);
    frame.put_u32(body.len() as u32);
    frame.put_slice(body);
    stream.write_all(&frame).await
}
