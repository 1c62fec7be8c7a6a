//! How the demo starts and ends other programs, so that none of them ever outlives it.
//!
//! Three nets, each for another way to end: a child is killed when its handle is dropped (errors,
//! panics), when the thread that started it is gone (SIGKILL of the demo itself; Linux only, through
//! `setpriv --pdeathsig`), and it stands in a process group of its own, so that a Ctrl-C in the
//! terminal reaches only the demo, which then ends its children in order. The second net hangs on the
//! thread: start children from the runtime's own threads, never from a blocking one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::process::{Child, Command};

/// The program of this name, as a shell would find it.
pub fn find_program(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// A command that cannot outlive this process. `program` has to exist: a wrapper may stand before
/// it, and then a missing program shows only as its exit code.
pub fn bound_command(program: &Path) -> Command {
    let mut command = match death_signal_wrapper() {
        Some(wrapper) => {
            let mut command = Command::new(wrapper);
            command
                .args(["--pdeathsig", "KILL", "--"])
                .arg(program.as_os_str());
            command
        }
        None => Command::new(program),
    };
    command
        .kill_on_drop(true)
        .process_group(0)
        .stdin(Stdio::null());
    command
}

/// Asks `child` to end (SIGTERM), and ends it (SIGKILL) when it has not within `grace`. Returns how
/// it ended, where that could be learned.
pub async fn end(child: &mut Child, grace: Duration) -> Option<ExitStatus> {
    request_end(child).await;
    if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
        return status.ok();
    }
    kill(child).await
}

/// Ends `child` at once (SIGKILL) and waits until it is gone.
pub async fn kill(child: &mut Child) -> Option<ExitStatus> {
    // An error means that it has ended already, which `wait` then tells.
    let _ = child.start_kill();
    child.wait().await.ok()
}

/// Sends SIGTERM and does not wait. A child that has ended already is left alone.
pub async fn request_end(child: &Child) {
    signal(child, "TERM").await;
}

/// Sends a signal by its name, without SIG. A child that has ended already is left alone.
pub async fn signal(child: &Child, name: &str) {
    if let Some(id) = child.id() {
        signal_id(id, name).await;
    }
}

/// The same for a process of which only the id is at hand.
pub async fn signal_id(id: u32, name: &str) {
    // The shell's own `kill` is there wherever a shell is, and needs no unsafe call.
    let _ = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$1\" \"$0\""])
        .arg(id.to_string())
        .arg(name)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
}

/// The last `lines` lines of `text`.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let skipped = all.len().saturating_sub(lines);
    all.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
}

fn death_signal_wrapper() -> Option<&'static OsStr> {
    static WRAPPER: OnceLock<Option<PathBuf>> = OnceLock::new();
    WRAPPER
        .get_or_init(|| {
            if cfg!(target_os = "linux") {
                find_program("setpriv")
            } else {
                None
            }
        })
        .as_deref()
        .map(Path::as_os_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_what_stands_last() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
        assert_eq!(tail("", 2), "");
    }

    #[tokio::test]
    async fn a_program_that_ignores_sigterm_is_killed() {
        let shell = find_program("sh").expect("every machine has a shell");
        let mut child = bound_command(&shell)
            .args(["-c", "trap '' TERM; while :; do sleep 0.05; done"])
            .spawn()
            .expect("the shell starts");
        let status = end(&mut child, Duration::from_millis(100)).await;
        assert!(!status.expect("it has ended").success());
    }
}
