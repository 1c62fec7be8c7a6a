//! A headless Chromium that ends with its test, and the real admin server that it looks at.
//!
//! Each test has a browser of its own, so that nothing of one is seen by another. Waiting is asking
//! again until it is so; only a failure takes long.

use std::io::{BufRead as _, BufReader};
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{ChromeCapabilities, LoggingPrefsLogLevel};
use tokio::time::Instant;

use crate::admin_server::Server;

/// How long anything here may take. Generous: only a failure waits for it.
const DEADLINE: Duration = Duration::from_secs(60);

const INSTALL: &str = "install Chromium and its driver: `bash setup/browser.sh`, which `make test` \
                       does, or on Debian `apt-get install chromium chromium-driver`";

/// A browser with one page open.
pub struct Browser {
    // Not dropped: that would wait for an answer of the driver, which is killed instead.
    driver: ManuallyDrop<WebDriver>,
    _process: Driver,
}

/// Chromium's driver as a process, with whatever it writes.
struct Driver {
    process: Child,
    port: u16,
    _folder: TempDir,
}

// === impl Driver ===

impl Driver {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", folder.path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver does not start ({error}): {INSTALL}"));
        let said = BufReader::new(process.stdout.take().expect("its output"));
        let port = said
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .unwrap_or_else(|| panic!("chromedriver names no port: {INSTALL}"));
        Self {
            process,
            port,
            _folder: folder,
        }
    }
}

impl Drop for Driver {
    /// The driver and the browser that it started are one process group. They are killed, not asked:
    /// the server that the page still talks to may stand still by now.
    fn drop(&mut self) {
        let group = format!("-{}", self.process.id());
        let _killed = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _status = self.process.wait();
    }
}

// === impl Browser ===

impl Browser {
    /// Opens the page of `server`; `place` is what follows the `#`.
    pub async fn open(server: &Server, place: &str) -> Self {
        evenkeel_scaler::tls::use_ring();
        let process = Driver::start();
        let mut wanted = ChromeCapabilities::new();
        wanted.set_headless().unwrap();
        // The sandbox does not work for root, and only our own page is opened.
        wanted.set_no_sandbox().unwrap();
        wanted.set_disable_dev_shm_usage().unwrap();
        wanted
            .set_browser_log_level(LoggingPrefsLogLevel::All)
            .unwrap();
        let driver = WebDriver::new(format!("http://127.0.0.1:{}", process.port), wanted)
            .await
            .unwrap_or_else(|error| panic!("no browser ({error}): {INSTALL}"));
        let browser = Self {
            driver: ManuallyDrop::new(driver),
            _process: process,
        };
        browser.goto(server.address, place).await;
        browser
    }

    pub async fn goto(&self, address: SocketAddr, place: &str) {
        self.goto_host(&address.to_string(), place).await;
    }

    /// The same for a host with what somebody typed when asked for a name and a password.
    pub async fn goto_host(&self, host: &str, place: &str) {
        let url = format!("http://{host}/#{place}");
        self.driver.goto(url).await.unwrap();
    }

    /// What a function body in JavaScript returns.
    pub async fn run<T: DeserializeOwned>(&self, script: &str) -> T {
        let answer = self.driver.execute(script, Vec::<Value>::new()).await;
        answer.unwrap().convert().unwrap()
    }

    /// The text of the first element that matches, as a person sees it.
    pub async fn text(&self, css: &str) -> String {
        self.driver
            .find(By::Css(css))
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// How many elements match and are shown.
    pub async fn count(&self, css: &str) -> usize {
        self.run(&format!(
            "return [...document.querySelectorAll({})].filter((one) => one.checkVisibility()).length",
            json!(css)
        ))
        .await
    }

    /// Waits until a JavaScript expression is true.
    pub async fn until(&self, what: &str, expression: &str) {
        let deadline = Instant::now() + DEADLINE;
        let script = format!("return Boolean({expression})");
        while !self.run::<bool>(&script).await {
            if Instant::now() > deadline {
                let page: String = self.run("return document.body.innerText").await;
                panic!("{what}: `{expression}` is not so. The page says:\n{page}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the first element that matches says `words`.
    pub async fn until_it_says(&self, css: &str, words: &str) {
        let (element, text) = (json!(css), json!(words));
        let expression = format!(
            "((one) => one?.checkVisibility() && one.innerText.includes({text}))(document.querySelector({element}))"
        );
        self.until(&format!("{css} says {words:?}"), &expression)
            .await;
    }

    /// Presses keys wherever the focus is.
    pub async fn press(&self, keys: impl AsRef<str>) {
        let actions = self.driver.action_chain().send_keys(keys.as_ref());
        actions.perform().await.unwrap();
    }

    /// Makes the window as large as a device's, in CSS pixels.
    pub async fn size(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.tell("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// Makes the system prefer `light` or `dark`.
    pub async fn scheme(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.tell("Emulation.setEmulatedMedia", features).await;
    }

    async fn tell(&self, command: &str, parameters: Value) {
        let answer = self.driver.cdp().send_raw(command, parameters).await;
        answer.unwrap();
    }

    /// Fails if the browser had anything to complain about: an error in a script, something that the
    /// page's policy refused, a file that was not there.
    pub async fn complained_about_nothing(&self) {
        let log = self.driver.browser_log().await.unwrap();
        assert!(log.is_empty(), "{log:#?}");
    }

    /// Fails if the page is wider than the window.
    pub async fn scrolls_in_one_direction(&self) {
        let widths: [u32; 2] = self
            .run("const root = document.documentElement; return [root.scrollWidth, root.clientWidth]")
            .await;
        assert_eq!(widths[0], widths[1], "the page is wider than the window");
    }
}
