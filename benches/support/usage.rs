//! What a process has used, by `/proc`. It decides no more than the units.

/// Milliseconds in a tick of `/proc/PID/stat` (`USER_HZ`, 100 on every Linux that there is).
const TICK_MILLISECONDS: f64 = 10.0;

/// CPU since its start, and memory.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub cpu_milliseconds: f64,
    /// What is resident now, in MiB.
    pub resident_megabytes: f64,
}

impl Usage {
    /// Of a process that runs.
    pub fn of(id: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
        // The name in brackets may hold anything.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .collect();
        let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        let kilobytes: f64 = resident.split_whitespace().next().unwrap().parse().unwrap();
        Self {
            cpu_milliseconds: ticks * TICK_MILLISECONDS,
            resident_megabytes: kilobytes / 1024.0,
        }
    }
}
