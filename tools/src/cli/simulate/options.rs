//! The arguments of a simulation, checked: everything that is wrong with them at once.
//!
//! Nothing is asked here, and nothing opened but the configuration that a profile is taken from.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use evenkeel_sim::contender::{Contender, Knowledge};
use evenkeel_sim::scenario;
use evenkeel_sim::world::Protocol;

use super::{Args, policies, profile};
use evenkeel_scaler::config::PrometheusConfig;
use evenkeel_scaler::observe::prometheus::PrometheusQuery;
use evenkeel_scaler::schema::closest;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    pub source: Source,
    /// The world of a load that brings none.
    pub world: OwnWorld,
    pub speed: f64,
    /// What the 99 % quantile of a recorded load becomes; as it was recorded where absent.
    pub peak: Option<f64>,
    pub contenders: Vec<Contender>,
    pub seeds: u64,
    pub knowledge: Knowledge,
    pub threads: usize,
    /// Ours takes part with a calendar, too.
    pub calendar: bool,
}

/// Where the load comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A scenario by its name, which exists.
    BuiltIn(String),
    /// Records per second and seconds.
    Steps(Vec<(f64, u64)>),
    Trace(PathBuf),
    Prometheus {
        query: PrometheusQuery,
        /// Of the profile, where one is asked.
        access: Option<Box<PrometheusConfig>>,
        hours: f64,
        step_seconds: u64,
    },
}

/// The world of a load that brings none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OwnWorld {
    pub partitions: usize,
    /// Records per second of a pod.
    pub capacity: f64,
    pub protocol: Protocol,
    /// Median from a pod's creation to its joining; as built in where absent.
    pub start_seconds: Option<f64>,
    pub max_replicas: u32,
}

/// The longest load, in simulated seconds: what the report is made for, about two months.
pub(super) const MAX_LOAD_SECONDS: u64 = 90_000 * 60;

/// The shortest: figures are counted by the minute.
pub(super) const MIN_LOAD_SECONDS: u64 = 60;

/// Values of one history. At 10,000 a request, 50 requests.
const MAX_POINTS: f64 = 500_000.0;

/// Any rate that makes sense, records per second.
const RATES: RangeInclusive<f64> = 0.001..=1e9;

/// The load where none is given: the published profile.
pub(super) const DEFAULT_SCENARIO: &str = "seed";

const SCENARIO: &str = "--scenario";
const STEPS: &str = "--steps";
const TRACE: &str = "--trace";
const FROM_PROMETHEUS: &str = "--from-prometheus";
const PROMETHEUS: &str = "--prometheus";

// === impl Plan ===

impl Plan {
    /// Checks everything.
    ///
    /// # Errors
    /// A sentence for each thing that is wrong.
    pub fn of(args: &Args) -> Result<Self, Vec<String>> {
        let mut checked = Checked::default();
        let source = checked.source(args);
        checked.belongings(args);
        let partitions = checked.number("--partitions", args.partitions.as_deref(), 24, 1..=10_000);
        let most = u32::try_from(partitions).unwrap_or(u32::MAX);
        let world = OwnWorld {
            partitions,
            capacity: checked.number("--capacity", args.capacity.as_deref(), 1_000.0, RATES),
            protocol: checked.protocol(args.protocol.as_deref()),
            start_seconds: args
                .start
                .as_deref()
                .map(|start| checked.number("--start", Some(start), 30.0, 0.0..=3_600.0)),
            max_replicas: checked.number(
                "--max-replicas",
                args.max_replicas.as_deref(),
                most,
                1..=10_000,
            ),
        };
        let mut contenders = policies::parse(&args.policies, &mut checked.complaints);
        let calendar = checked.calendar(args, &mut contenders);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let plan = Self {
            world,
            speed: checked.number("--speed", args.speed.as_deref(), 1.0, 0.001..=1e6),
            peak: args
                .peak
                .as_deref()
                .map(|peak| checked.number("--peak", Some(peak), 1.0, RATES)),
            contenders,
            seeds: checked.number("--seeds", Some(&args.seeds), 5, 1..=100),
            knowledge: checked.knowledge(&args.knowledge),
            threads: checked.number("--threads", args.threads.as_deref(), cores, 1..=1_024),
            calendar,
            source: source.unwrap_or_else(|| Source::BuiltIn(DEFAULT_SCENARIO.to_owned())),
        };
        if checked.complaints.is_empty() {
            Ok(plan)
        } else {
            Err(checked.complaints)
        }
    }
}

/// What was wrong so far.
#[derive(Debug, Default)]
struct Checked {
    complaints: Vec<String>,
}

// === impl Checked ===

impl Checked {
    /// The number that `text` says, or `default`.
    fn number<T: FromStr + PartialOrd + Display + Copy>(
        &mut self,
        flag: &str,
        text: Option<&str>,
        default: T,
        range: RangeInclusive<T>,
    ) -> T {
        let Some(text) = text else { return default };
        match text.trim().parse::<T>() {
            Ok(value) if range.contains(&value) => value,
            _ => {
                let whole = if std::any::type_name::<T>() == "f64" {
                    ""
                } else {
                    "whole "
                };
                self.complaints.push(format!(
                    "{flag} is {text:?}: write a {whole}number from {} to {}",
                    range.start(),
                    range.end()
                ));
                default
            }
        }
    }

    fn source(&mut self, args: &Args) -> Option<Source> {
        let given: Vec<&str> = [
            (SCENARIO, args.scenario.is_some()),
            (STEPS, args.steps.is_some()),
            (TRACE, args.trace.is_some()),
            (FROM_PROMETHEUS, args.from_prometheus.is_some()),
            (PROMETHEUS, args.prometheus.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect();
        if given.len() > 1 {
            self.complaints.push(format!(
                "{} are two loads or more: give one of them",
                given.join(" and ")
            ));
        }
        // All of them are looked at, so that what is wrong with each is said.
        let scenario = self.scenario(args.scenario.as_deref().unwrap_or(DEFAULT_SCENARIO));
        let steps = args.steps.as_deref().and_then(|text| self.steps(text));
        let history = self.history(args);
        steps
            .map(Source::Steps)
            .or_else(|| args.trace.clone().map(Source::Trace))
            .or(history)
            .or(scenario)
    }

    fn scenario(&mut self, name: &str) -> Option<Source> {
        if scenario::NAMES.contains(&name) {
            return Some(Source::BuiltIn(name.to_owned()));
        }
        let names = scenario::NAMES.join(", ");
        self.complaints.push(match closest(name, scenario::NAMES) {
            Some(like) => {
                format!("{SCENARIO}: there is no {name:?}, did you mean {like}? There are {names}")
            }
            None => format!("{SCENARIO}: there is no {name:?}: there are {names}"),
        });
        None
    }

    fn steps(&mut self, text: &str) -> Option<Vec<(f64, u64)>> {
        let before = self.complaints.len();
        let mut steps = Vec::new();
        for part in text.split(',').map(str::trim) {
            let step = part.split_once(['x', 'X']).and_then(|(rate, seconds)| {
                let rate: f64 = rate.parse().ok()?;
                let seconds: u64 = seconds.parse().ok()?;
                let fits = (0.0..=*RATES.end()).contains(&rate)
                    && (1..=MAX_LOAD_SECONDS).contains(&seconds);
                fits.then_some((rate, seconds))
            });
            match step {
                Some(step) => steps.push(step),
                None => self.complaints.push(format!(
                    "{STEPS}: {part:?} is no step: write records/s, x and seconds, such as 5000x900"
                )),
            }
        }
        let seconds: u64 = steps.iter().map(|(_, seconds)| seconds).sum();
        if self.complaints.len() > before {
            return None;
        }
        if let Err(sentence) = lasts(seconds) {
            self.complaints.push(format!("{STEPS}: {sentence}"));
            return None;
        }
        Some(steps)
    }

    fn history(&mut self, args: &Args) -> Option<Source> {
        let hours = self.number("--hours", args.hours.as_deref(), 24.0, 0.1..=8_760.0);
        let step = self.number("--step", args.step.as_deref(), 15, 1..=3_600);
        let profile = args.prometheus.as_deref().and_then(|name| {
            let found = profile::find(args.config.as_deref(), name);
            let noted = found.map_err(|why| self.complaints.push(format!("{PROMETHEUS} {why}")));
            noted.ok()
        });
        let (flag, url) = match (&args.from_prometheus, &args.prometheus, &profile) {
            (Some(url), _, _) => (FROM_PROMETHEUS, url.as_str()),
            (None, Some(_), Some(profile)) => (PROMETHEUS, profile.url.as_str()),
            (None, Some(_), None) => (PROMETHEUS, ""),
            (None, None, _) => return None,
        };
        if flag == FROM_PROMETHEUS && !url.starts_with("http://") && !url.starts_with("https://") {
            self.complaints.push(format!(
                "{FROM_PROMETHEUS} is no address such as http://localhost:9090"
            ));
        }
        let Some(query) = args
            .query
            .as_deref()
            .filter(|query| !query.trim().is_empty())
        else {
            self.complaints.push(format!(
                "{flag} needs --query: PromQL for the records per second that come in"
            ));
            return None;
        };
        let points = hours * 3_600.0 / step as f64;
        if points > MAX_POINTS {
            self.complaints.push(format!(
                "--hours {hours} in steps of {step} s are more than {MAX_POINTS} values: write \
                 --step {} or more, or fewer hours",
                (hours * 3_600.0 / MAX_POINTS).ceil()
            ));
        }
        Some(Source::Prometheus {
            query: PrometheusQuery {
                url: url.to_owned(),
                profile: args.prometheus.clone(),
                query: query.to_owned(),
            },
            access: profile.map(Box::new),
            hours,
            step_seconds: step,
        })
    }

    /// Arguments that mean nothing beside the load that was given.
    fn belongings(&mut self, args: &Args) {
        let history = args.from_prometheus.is_some() || args.prometheus.is_some();
        let recorded = args.trace.is_some() || history;
        let own = args.steps.is_some() || recorded;
        let world = "a built-in load has its own world: it goes with --steps, --trace, \
                     --from-prometheus or --prometheus";
        let record = "it goes with --trace, --from-prometheus or --prometheus";
        let past = "it goes with --from-prometheus or --prometheus";
        let profile = "it goes with --prometheus";
        let named = args.prometheus.is_some();
        for (flag, given, allowed, why) in [
            ("--partitions", args.partitions.is_some(), own, world),
            ("--capacity", args.capacity.is_some(), own, world),
            ("--protocol", args.protocol.is_some(), own, world),
            ("--start", args.start.is_some(), own, world),
            ("--max-replicas", args.max_replicas.is_some(), own, world),
            ("--speed", args.speed.is_some(), recorded, record),
            ("--peak", args.peak.is_some(), recorded, record),
            ("--query", args.query.is_some(), history, past),
            ("--hours", args.hours.is_some(), history, past),
            ("--step", args.step.is_some(), history, past),
            ("--calendar", args.calendar.is_some(), history, past),
            ("--config", args.config.is_some(), named, profile),
        ] {
            if given && !allowed {
                self.complaints
                    .push(format!("{flag} means nothing here: {why}"));
            }
        }
    }

    fn protocol(&mut self, name: Option<&str>) -> Protocol {
        match name {
            None | Some("cooperative") => Protocol::Cooperative,
            Some("eager") => Protocol::Eager,
            Some("consumer") => Protocol::Consumer,
            Some(other) => {
                self.complaints.push(format!(
                    "--protocol is {other:?}: write eager, cooperative or consumer"
                ));
                Protocol::Cooperative
            }
        }
    }

    /// Whether ours takes part with a calendar, too; then it does.
    fn calendar(&mut self, args: &Args, contenders: &mut Vec<Contender>) -> bool {
        match args.calendar.as_deref() {
            None | Some("off") => return false,
            Some("on") => {}
            Some(other) => {
                let complaint = format!("--calendar is {other:?}: write on or off");
                self.complaints.push(complaint);
                return false;
            }
        }
        if args.speed.is_some() {
            let complaint = "--speed means nothing beside --calendar on: days have to be days";
            self.complaints.push(complaint.to_owned());
        }
        let name = Contender::evenkeel().name();
        let ours = contenders.iter().position(|one| one.name() == name);
        match ours {
            Some(place) => contenders.insert(place + 1, Contender::with_calendar()),
            None => {
                let complaint = "--calendar on needs evenkeel among --policies".to_owned();
                self.complaints.push(complaint);
            }
        }
        true
    }

    fn knowledge(&mut self, text: &str) -> Knowledge {
        match text {
            "exact" => return Knowledge::Times(1.0),
            "learned" => return Knowledge::Learned,
            _ => {}
        }
        match text.parse::<f64>() {
            Ok(times) if (0.1..=10.0).contains(&times) => Knowledge::Times(times),
            _ => {
                self.complaints.push(format!(
                    "--knowledge is {text:?}: write exact, learned, or times the truth from 0.1 to \
                     10, such as 0.7"
                ));
                Knowledge::Times(1.0)
            }
        }
    }
}

/// Whether a load of so many seconds can be simulated, or why not.
pub(super) fn lasts(seconds: u64) -> Result<(), String> {
    if (MIN_LOAD_SECONDS..=MAX_LOAD_SECONDS).contains(&seconds) {
        Ok(())
    } else {
        Err(format!(
            "the load lasts {seconds} s: it has to last from {MIN_LOAD_SECONDS} to \
             {MAX_LOAD_SECONDS} s; a recorded one is made shorter by --speed"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan of these words, as a shell would give them.
    fn plan(words: &[&str]) -> Result<Plan, Vec<String>> {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: Args,
        }
        let words = ["simulate"].iter().chain(words);
        Plan::of(&<Line as clap::Parser>::parse_from(words).args)
    }

    #[track_caller]
    fn check_wrong(words: &[&str], expected: &[&str]) {
        let complaints = plan(words).unwrap_err();
        assert_eq!(complaints.len(), expected.len(), "{complaints:#?}");
        for (complaint, expected) in complaints.iter().zip(expected) {
            assert!(complaint.contains(expected), "{complaint}");
        }
    }

    #[test]
    fn the_help_names_every_load_and_policy() {
        let mut command = <Args as clap::Args>::augment_args(clap::Command::new("simulate"));
        let help = command.render_long_help().to_string();
        for name in scenario::NAMES.iter().copied().chain(policies::names()) {
            assert!(help.contains(name), "{name} is not in the help");
        }
    }

    #[test]
    fn without_arguments_it_is_the_seed_scenario() {
        let plan = plan(&[]).unwrap();
        assert!(matches!(plan.source, Source::BuiltIn(name) if name == "seed"));
        assert_eq!((plan.seeds, plan.contenders.len()), (5, 8));
        assert_eq!(plan.knowledge, Knowledge::Times(1.0));
        assert!(plan.threads >= 1);
    }

    #[test]
    fn with_a_calendar_ours_takes_part_twice() {
        let history = ["--from-prometheus", "http://x", "--query", "x"];
        let with = |more: &[&str]| plan(&[&history[..], more].concat());
        let names = |words: &[&str]| {
            let plan = with(words).unwrap();
            let names: Vec<String> = plan.contenders.iter().map(Contender::name).collect();
            (plan.calendar, names)
        };
        let two = ["--policies", "evenkeel,reactive", "--calendar"];
        let (is_on, on) = names(&[&two[..], &["on"]].concat());
        assert_eq!(on, ["evenkeel", "evenkeel, calendar on", "reactive oracle"]);
        assert!(is_on && !names(&[&two[..], &["off"]].concat()).0);
        let wrong = |words: &[&str]| with(words).unwrap_err().join(" ");
        assert!(wrong(&["--calendar", "yes"]).contains("write on or off"));
        assert!(wrong(&["--calendar", "on", "--policies", "flink"]).contains("needs evenkeel"));
        assert!(wrong(&["--calendar", "on", "--speed", "2"]).contains("days have to be days"));
        check_wrong(&["--calendar", "on"], &["--calendar means nothing here"]);
    }

    #[test]
    fn a_load_of_ones_own_has_a_world_of_ones_own() {
        let plan = plan(&[
            "--steps",
            "1000x600, 0x60",
            "--partitions",
            "120",
            "--capacity",
            "100",
            "--protocol",
            "consumer",
            "--start",
            "60",
            "--knowledge",
            "0.7",
        ])
        .unwrap();
        let Source::Steps(steps) = plan.source else {
            panic!("no steps");
        };
        assert_eq!(steps, [(1_000.0, 600), (0.0, 60)]);
        assert_eq!(
            plan.world,
            OwnWorld {
                partitions: 120,
                capacity: 100.0,
                protocol: Protocol::Consumer,
                start_seconds: Some(60.0),
                max_replicas: 120,
            }
        );
        assert_eq!(plan.knowledge, Knowledge::Times(0.7));
    }

    #[test]
    fn a_backtest_has_a_query_and_a_past() {
        let plan = plan(&[
            "--from-prometheus",
            "http://here:9090",
            "--query",
            "x",
            "--hours",
            "2",
        ]);
        let Source::Prometheus {
            query,
            hours,
            step_seconds,
            ..
        } = plan.unwrap().source
        else {
            panic!("no backtest");
        };
        assert_eq!(
            (query.url.as_str(), query.query.as_str()),
            ("http://here:9090", "x")
        );
        assert_eq!((hours, step_seconds), (2.0, 15));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        check_wrong(
            &[
                "--scenario",
                "sed",
                "--partitions",
                "0",
                "--seeds",
                "many",
                "--knowledge",
                "some",
                "--policies",
                "kedalag",
                "--threads",
                "1.5",
                "--step",
                "0",
            ],
            &[
                "no \"sed\", did you mean seed? There are ads,",
                "--step is \"0\": write a whole number from 1 to 3600",
                "--partitions means nothing here: a built-in load has its own world",
                "--step means nothing here",
                "--partitions is \"0\": write a whole number from 1 to 10000",
                "did you mean keda-lag?",
                "--seeds is \"many\"",
                "--knowledge is \"some\": write exact, learned,",
                "--threads is \"1.5\"",
            ],
        );
        check_wrong(
            &["--steps", "5x,1000x-1,x,1x1", "--trace", "x.csv"],
            &[
                "--steps and --trace are two loads",
                "\"5x\" is no step",
                "\"1000x-1\"",
                "\"x\"",
            ],
        );
        check_wrong(
            &["--steps", "1x59"],
            &["lasts 59 s: it has to last from 60 to 5400000 s"],
        );
        check_wrong(
            &[
                "--steps",
                "1x60",
                "--speed",
                "2",
                "--protocol",
                "lazy",
                "--capacity",
                "NaN",
            ],
            &[
                "--speed means nothing here",
                "--capacity is \"NaN\"",
                "--protocol is \"lazy\"",
            ],
        );
        check_wrong(
            &["--from-prometheus", "here"],
            &["is no address such as", "needs --query"],
        );
        check_wrong(
            &[
                "--from-prometheus",
                "http://x",
                "--query",
                "x",
                "--hours",
                "2000",
                "--step",
                "1",
            ],
            &["more than 500000 values: write --step 15 or more"],
        );
    }
}
