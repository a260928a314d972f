//! What is done to a run.

use std::fmt;

use crate::random::Random;

/// Who decides which checkpoint counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// Kafka to Kafka, by transactions.
    Kafka,
    /// Kafka to files, by the state store.
    Store,
}

/// What happens at a failpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `kill -9`.
    Kill,
    /// The step fails.
    Error,
}

/// One disturbance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// None: the run that others are compared with.
    Nothing,
    /// F1: `kill -9` so many milliseconds after each start.
    Kills(Vec<u64>),
    /// F2: something happens the n-th time that a place is passed.
    Point {
        /// The place.
        point: &'static str,
        /// How often it is passed before.
        passes: u64,
        /// What happens.
        action: Action,
    },
    /// F3: the process is stopped at a place, another takes over and finishes, the first wakes up.
    Zombie {
        /// The place.
        point: &'static str,
        /// How often it is passed before.
        passes: u64,
        /// How long it sleeps at least.
        asleep_ms: u64,
    },
    /// F4: the broker is killed after so many milliseconds, and started again.
    Broker(u64),
    /// F5, F6: the network fails for a while.
    Network {
        /// How: see `proxy::Mode`.
        mode: u8,
        /// When, milliseconds after the start.
        after_ms: u64,
        /// For how long.
        for_ms: u64,
    },
    /// F7, F8: the state store fails, lies, is slow or full.
    Store(&'static str),
    /// F10: the clock jumps by so many seconds, again and again.
    Clock(i64),
}

/// Places that a run with each authority passes.
pub const POINTS: &[(&str, &[Authority])] = &[
    ("commit::begin", &[Authority::Kafka, Authority::Store]),
    ("kafka::produced", &[Authority::Kafka]),
    ("kafka::delivered", &[Authority::Kafka]),
    ("commit::sent", &[Authority::Kafka, Authority::Store]),
    ("object::before-write", &[Authority::Kafka, Authority::Store]),
    ("object::after-write", &[Authority::Kafka, Authority::Store]),
    ("manifest::before-write", &[Authority::Kafka, Authority::Store]),
    ("manifest::after-write", &[Authority::Kafka, Authority::Store]),
    ("commit::manifest-written", &[Authority::Kafka, Authority::Store]),
    ("kafka::before-offsets", &[Authority::Kafka]),
    ("kafka::after-offsets", &[Authority::Kafka]),
    ("kafka::after-commit", &[Authority::Kafka]),
    ("commit::before-create", &[Authority::Store]),
    ("commit::after-create", &[Authority::Store]),
    ("commit::committed", &[Authority::Kafka, Authority::Store]),
    ("restore::object", &[Authority::Kafka, Authority::Store]),
    ("collect::planned", &[Authority::Kafka, Authority::Store]),
    ("collect::manifest-deleted", &[Authority::Kafka, Authority::Store]),
    ("compact::before-read", &[Authority::Kafka, Authority::Store]),
];

/// Places where failing is an abort that is run again; elsewhere it would stop the pipeline.
const ABORTING: &[&str] = &[
    "kafka::before-offsets",
    "kafka::after-offsets",
    "kafka::after-commit",
    "commit::before-create",
    "commit::after-create",
];

/// What a store does. Each is what `FAILPOINTS` understands.
const STORES: &[&str] = &[
    "store::write=15%return(error)",
    "store::write=25%return(lost)",
    "store::write=10%sleep(300)",
    "store::write=20*off->12*return(full)->off",
    "store::read=30%return(error)",
    "store::list=30%return(error);store::delete=50%return(error)",
];

/// A run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The seed of its small decisions.
    pub seed: u64,
    /// Who names checkpoints.
    pub authority: Authority,
    /// What is done to it.
    pub fault: Fault,
    /// Workers of the first start; the next has one more, up to three.
    pub workers: u64,
}

/// Returns the places that a run with an authority passes.
pub fn points(authority: Authority) -> Vec<&'static str> {
    let of = POINTS.iter().filter(|(_, authorities)| authorities.contains(&authority));
    of.map(|(point, _)| *point).collect()
}

/// Returns whether failing at a place is an abort.
pub fn aborts(point: &str) -> bool {
    ABORTING.contains(&point)
}

/// How often a place is passed before it may happen, at most.
pub fn most_passes(point: &str) -> u64 {
    match point {
        "kafka::produced" => 200,
        "collect::planned" | "collect::manifest-deleted" | "compact::before-read" => 1,
        "restore::object" => 3,
        _ => 25,
    }
}

impl Spec {
    /// Returns the run of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let authority = *random.pick(&[Authority::Kafka, Authority::Kafka, Authority::Store]);
        let points = points(authority);
        let point = *random.pick(&points);
        let passes = random.below(most_passes(point));
        // Without transactions a run takes a fifth of the time.
        let quick = if authority == Authority::Store { 5 } else { 1 };
        let fault = match random.below(20) {
            0..4 => {
                let count = random.between(1, 5);
                Fault::Kills((0..count).map(|_| random.between(150, 1_500) / quick).collect())
            }
            4..10 => Fault::Point { point, passes, action: Action::Kill },
            10 | 11 => {
                let aborting: Vec<_> = points.iter().copied().filter(|at| aborts(at)).collect();
                let point = *random.pick(&aborting);
                Fault::Point { point, passes: random.below(20), action: Action::Error }
            }
            12..14 if point != "restore::object" => Fault::Zombie {
                point,
                passes: passes.min(12),
                asleep_ms: *random.pick(&[0, 0, 3_500]),
            },
            14 => Fault::Broker(random.between(100, 900) / quick),
            15 | 16 => Fault::Network {
                mode: u8::try_from(random.between(1, 5)).unwrap_or(1),
                after_ms: random.between(50, 900) / quick,
                for_ms: *random.pick(&[200, 900, 3_500]),
            },
            17 => Fault::Store(random.pick::<&str>(STORES)),
            18 => Fault::Clock(*random.pick(&[-3_600, -1, 1, 3_600])),
            _ => Fault::Kills(vec![random.between(100, 2_500) / quick]),
        };
        Self { seed, authority, fault, workers: random.between(1, 4) }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, authority, fault, workers } = self;
        write!(f, "seed {seed}: {authority:?}, {workers} workers, {fault:?}")
    }
}
