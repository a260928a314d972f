//! Each fault of the suite once, at every place of a commit, on a real Apache Kafka. Many more, at
//! random, come from `cargo xtask faults`.

use std::path::PathBuf;

use millstream_broker::install;
use millstream_faults::{Action, Authority, Fault, Lab, POINTS, Spec, check, execute};

use crate::support::plugins;

struct Suite {
    lab: Lab,
    program: PathBuf,
    /// What an undisturbed run raised.
    alerts: Vec<String>,
    runs: u64,
}

impl Suite {
    fn open() -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_millstream"));
        let jars = program.ancestors().nth(2).expect("target/debug/x").join("kafka");
        let kafka = install(&jars).expect("Apache Kafka");
        let lab = Lab::open(&kafka, &program, &plugins(), 1_500).expect("a broker");
        let mut suite = Self { lab, program, alerts: Vec::new(), runs: 0 };
        suite.alerts = suite.run(Authority::Kafka, Fault::Nothing).0;
        suite
    }

    /// Runs a fault and returns the alerts, and whether it came before the run was over.
    fn run(&mut self, authority: Authority, fault: Fault) -> (Vec<String>, bool) {
        // The seed chooses the input: always the same here.
        let spec = Spec { seed: 0, authority, fault, workers: self.runs };
        let name = format!("ci-{}", self.runs);
        self.runs += 1;
        let ended = execute(&mut self.lab, &name, &spec).expect("the suite");
        let told = std::fs::read_to_string(ended.folder.join("told.log")).unwrap_or_default();
        assert_eq!(ended.unfinished, None, "{spec}\n{told}");
        let checked = check(&self.lab, &self.program, &spec, &ended).expect("the suite");
        assert_eq!(checked.wrong, Vec::<String>::new(), "{spec}\n{told}");
        (checked.alerts, ended.disturbed)
    }

    fn disturbed(&mut self, authority: Authority, fault: &Fault) {
        let (alerts, disturbed) = self.run(authority, fault.clone());
        assert!(disturbed, "{authority:?}: the run was over before {fault:?}");
        assert!(alerts == self.alerts, "{authority:?}, {fault:?}: other alerts");
    }
}

/// How often a place is passed before it happens.
fn passes(point: &str) -> u64 {
    match point {
        "kafka::produced" => 20,
        "restore::object" => 1,
        _ if point.starts_with("collect::") || point.starts_with("compact::") => 0,
        _ => 5,
    }
}

#[test]
fn killed_at_every_place() {
    let mut suite = Suite::open();
    for (point, authorities) in POINTS {
        for authority in *authorities {
            let fault = Fault::Point { point, passes: passes(point), action: Action::Kill };
            suite.disturbed(*authority, &fault);
            println!("killed at {point}, {authority:?}");
        }
    }
    println!("{} places covered", POINTS.len());
}

#[test]
fn every_other_fault() {
    let mut suite = Suite::open();
    for authority in [Authority::Kafka, Authority::Store] {
        // F1, F10.
        suite.disturbed(authority, &Fault::Kills(vec![150, 200]));
        suite.disturbed(authority, &Fault::Clock(-3_600));
        // F7, F8.
        for faults in [
            "store::write=10%return(error);store::read=10%return(error)",
            "store::write=25%return(lost)",
            "store::write=20*off->12*return(full)->off",
        ] {
            suite.disturbed(authority, &Fault::Store(faults));
        }
        // F3.
        for point in ["commit::begin", "commit::manifest-written"] {
            for asleep_ms in [0, 3_500] {
                suite.disturbed(authority, &Fault::Zombie { point, passes: 5, asleep_ms });
            }
        }
    }
    for point in ["kafka::before-offsets", "kafka::after-offsets", "kafka::after-commit"] {
        let fault = Fault::Point { point, passes: 5, action: Action::Error };
        suite.disturbed(Authority::Kafka, &fault);
    }
    // F4, F5, F6.
    suite.disturbed(Authority::Kafka, &Fault::Broker(300));
    for mode in 1..=4 {
        suite.disturbed(Authority::Kafka, &Fault::Network { mode, after_ms: 300, for_ms: 900 });
    }
}
