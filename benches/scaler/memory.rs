//! Memory with a full history, of the program that the image holds: static, with musl and its allocator.
//!
//! Two hours of history are a number of points; here they are made by polling every 500 ms, in nine
//! minutes a size. Only when asked for by name, with the program's path in EVENKEEL_PROGRAM.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use super::fake::Cluster;
use super::served::Served;
use super::table;

const SIZES: [usize; 3] = [1_000, 2_000, 5_000];
/// Points of history that a target has at most by default, and some for what begins anew.
const TICKS: f64 = 1_100.0;

pub async fn bench() {
    let program = std::env::var_os("EVENKEEL_PROGRAM").map(PathBuf::from);
    let program =
        program.expect("EVENKEEL_PROGRAM names the static program that make static builds");
    let mut rows = table(&[
        "targets x 10 partitions",
        "MiB resident after 20 s",
        "MiB resident with a full history",
    ]);
    for groups in SIZES {
        let cluster = Cluster::start(groups).await;
        let served = Served::start_program(&program, &cluster.bootstrap_servers, "500ms", "").await;
        served.register(groups).await;
        sleep(Duration::from_secs(20)).await;
        let early = served.usage().resident_megabytes;
        while served.ticks().await < TICKS {
            sleep(Duration::from_secs(5)).await;
        }
        let full = served.usage().resident_megabytes;
        rows.add_row([
            groups.to_string(),
            format!("{early:.0}"),
            format!("{full:.0}"),
        ]);
        println!("{rows}\n");
    }
}
