//! Places where tests make the host fail, and safeguards they switch off.
//!
//! Everything here is compiled out of `--release`: the build script sets `faults` for other
//! profiles only. Places are switched on by the environment: `FAILPOINTS` as the `fail` crate reads
//! it, with the actions `return(kill)`, `return(stop)` and `return(error)`; `MILLSTREAM_MUTANT`
//! names one safeguard to leave out.

/// A place where a test may kill, stop or fail the process. Gives true when the caller is to fail.
#[macro_export]
#[doc(hidden)]
macro_rules! failpoint {
    ($name:expr) => {
        $crate::faults::point($name)
    };
}

/// Switches on what the environment asks for. Held for the life of the process.
#[cfg(faults)]
pub fn set_up() -> impl Sized {
    fail::FailScenario::setup()
}

/// Nothing in a release build.
#[cfg(not(faults))]
pub fn set_up() -> impl Sized {}

/// Does what a test asked for at this place. Returns true when the caller is to fail.
#[cfg(faults)]
pub fn point(name: &str) -> bool {
    let action = fail::eval(name, |action| action.unwrap_or_default());
    match action.as_deref() {
        Some("kill") => signal(rustix::process::Signal::KILL),
        Some("stop") => signal(rustix::process::Signal::STOP),
        Some(_) => return true,
        None => {}
    }
    false
}

/// Never in a release build.
#[cfg(not(faults))]
#[inline]
pub fn point(_name: &str) -> bool {
    false
}

#[cfg(faults)]
fn signal(signal: rustix::process::Signal) {
    if let Err(error) = rustix::process::kill_process(rustix::process::getpid(), signal) {
        tracing::error!(%error, "a failpoint cannot signal this process");
    }
}

/// Returns true when a test asks for this safeguard to be left out.
#[cfg(faults)]
pub fn mutant(name: &str) -> bool {
    std::env::var("MILLSTREAM_MUTANT").is_ok_and(|mutant| mutant == name)
}

/// Never in a release build.
#[cfg(not(faults))]
#[inline]
pub fn mutant(_name: &str) -> bool {
    false
}

/// What a test wants a store to do.
#[derive(Debug)]
pub enum StoreFault {
    /// What it is asked.
    None,
    /// Fail at once.
    Before(object_store::Error),
    /// Do it and say that it failed.
    After(object_store::Error),
}

/// Returns what the store is to do: the failpoints `store::<action>`, with `return(error)`,
/// `return(lost)` (done, but the answer is lost) or `return(full)`.
#[cfg(faults)]
pub fn store(action: &str, _name: &str) -> StoreFault {
    let asked = fail::eval(&format!("store::{action}"), |what| what.unwrap_or_default());
    let failed = |what: &str| object_store::Error::Generic {
        store: "fault",
        source: what.to_owned().into(),
    };
    match asked.as_deref() {
        None => StoreFault::None,
        Some("lost") => StoreFault::After(failed("the answer was lost")),
        Some("full") => StoreFault::Before(failed("no space left on device")),
        Some(_) => StoreFault::Before(failed("an injected error")),
    }
}

/// Nothing in a release build.
#[cfg(not(faults))]
#[inline]
pub fn store(_action: &str, _name: &str) -> StoreFault {
    StoreFault::None
}

/// Returns how wrong a test wants the wall clock to be: `MILLSTREAM_CLOCK_JUMPS` seconds, every
/// other tenth of a second.
#[cfg(faults)]
pub fn clock_jump_us(now_us: i64) -> i64 {
    static JUMP_S: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    let jump_s = JUMP_S.get_or_init(|| {
        let asked = std::env::var("MILLSTREAM_CLOCK_JUMPS").ok();
        asked.and_then(|text| text.parse().ok()).unwrap_or(0)
    });
    if now_us.rem_euclid(200_000) < 100_000 { jump_s.saturating_mul(1_000_000) } else { 0 }
}

/// Never in a release build.
#[cfg(not(faults))]
#[inline]
pub fn clock_jump_us(_now_us: i64) -> i64 {
    0
}
