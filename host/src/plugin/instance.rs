//! One running instance of a plugin, and how a call of it is limited, timed and judged.

use std::sync::{Arc, Mutex};

use wasmtime::component::{Instance, InstancePre};
use wasmtime::{Store, Trap, WasmBacktrace};

use crate::config::model::Limits;

use super::bindings::millstream::plugin::types::Fault;
use super::engine::PluginRuntime;
use super::error::{CallError, Failure, PluginError, PluginId};
use super::limits::{Budget, MemoryGuard, Verdict, thread_cpu_ns};
use super::log::LogGate;
use super::meter::Meter;
use super::validate::BadOutput;

/// Calls after which an instance is replaced, in case it hoards something.
const CALLS_PER_INSTANCE: u32 = 10_000;
/// Longest trace kept.
const MAX_TRACE_BYTES: usize = 8 << 10;

/// What the host keeps beside an instance.
pub(super) struct HostState {
    pub(super) plugin: Arc<PluginId>,
    pub(super) log: Arc<Mutex<LogGate>>,
    memory: MemoryGuard,
    budget: Budget,
}

/// What all instances of a plugin version share.
pub(super) struct Core {
    /// Keeps the engine's ticker going.
    pub(super) runtime: Arc<PluginRuntime>,
    pub(super) pre: InstancePre<HostState>,
    pub(super) id: Arc<PluginId>,
    pub(super) limits: Limits,
    pub(super) meter: Meter,
    pub(super) log: Arc<Mutex<LogGate>>,
}

impl Core {
    /// Starts an instance.
    pub(super) fn start(&self) -> Result<(Store<HostState>, Instance), Box<CallError>> {
        let state = HostState {
            plugin: Arc::clone(&self.id),
            log: Arc::clone(&self.log),
            memory: MemoryGuard::new(&self.limits),
            budget: Budget::new(0, 0),
        };
        let mut store = Store::new(&self.runtime.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.output_bytes);
        store.epoch_deadline_callback(|context| {
            Ok(match context.data().budget.decide(thread_cpu_ns()) {
                Verdict::Continue(ticks) => wasmtime::UpdateDeadline::Continue(ticks),
                Verdict::Stop => wasmtime::UpdateDeadline::Interrupt,
            })
        });
        let (instance, _) = self.charge(&mut store, "start", self.limits.deadline_us, |store| {
            self.pre.instantiate(store)
        });
        self.meter.started();
        Ok((store, instance?))
    }

    /// Runs `call` with `deadline_us` of CPU time. Returns what it returned and the CPU time it
    /// took in nanoseconds. After an error the store must be dropped.
    pub(super) fn charge<R>(
        &self,
        store: &mut Store<HostState>,
        name: &'static str,
        deadline_us: i64,
        call: impl FnOnce(&mut Store<HostState>) -> wasmtime::Result<R>,
    ) -> (Result<R, Box<CallError>>, u64) {
        let started = thread_cpu_ns();
        let budget = Budget::new(started, deadline_us);
        store.data_mut().budget = budget;
        match budget.decide(started) {
            Verdict::Continue(ticks) => store.set_epoch_deadline(ticks),
            Verdict::Stop => store.set_epoch_deadline(1),
        }
        let result = call(store);
        let cpu_ns = thread_cpu_ns().saturating_sub(started);
        let result = result.map_err(|error| {
            let failure = classify(&error, store.data().memory.refused());
            self.call_error(name, failure, trace(&error))
        });
        (result, cpu_ns)
    }

    /// Starts an instance for one use outside the data path and calls it.
    ///
    /// # Errors
    /// When the instance cannot be started or the call fails.
    pub(super) fn once<G, R>(
        &self,
        name: &'static str,
        open: impl FnOnce(&mut Store<HostState>, &Instance) -> wasmtime::Result<G>,
        call: impl FnOnce(&mut Store<HostState>, &G) -> wasmtime::Result<R>,
    ) -> Result<(Live<G>, R), PluginError> {
        let (mut store, instance) = self.start()?;
        let (guest, _) = self
            .charge(&mut store, "start", self.limits.deadline_us, |store| open(store, &instance));
        let guest = guest?;
        let (value, _) =
            self.charge(&mut store, name, self.limits.deadline_us, |store| call(store, &guest));
        Ok((Live { store, guest, calls: 0 }, value?))
    }

    pub(super) fn call_error(
        &self,
        call: &'static str,
        failure: Failure,
        backtrace: String,
    ) -> Box<CallError> {
        Box::new(CallError { plugin: Arc::clone(&self.id), call, failure, backtrace })
    }

    /// Returns what a refusal outside the data path means.
    pub(super) fn refused(&self, call: &'static str, fault: Fault) -> PluginError {
        match fault {
            Fault::Config(reason) => PluginError::Config {
                name: self.id.name.clone(),
                reason: super::log::clean(&reason),
            },
            Fault::Internal(reason) => {
                let failure = Failure::Fault(super::log::clean(&reason));
                PluginError::from(self.call_error(call, failure, String::new()))
            }
        }
    }

    /// Returns what nonsense outside the data path means.
    pub(super) fn nonsense(&self, call: &'static str, bad: BadOutput) -> PluginError {
        PluginError::from(self.call_error(call, Failure::BadOutput(bad.0), String::new()))
    }
}

impl From<Box<CallError>> for PluginError {
    fn from(error: Box<CallError>) -> Self {
        Self::Call { error }
    }
}

/// A configured instance that can take batches.
pub(super) struct Live<G> {
    store: Store<HostState>,
    guest: G,
    calls: u32,
}

/// One call on the data path: whose, which, and what it may take.
pub(super) struct CallSite<'a> {
    pub(super) core: &'a Core,
    pub(super) name: &'static str,
    pub(super) deadline_us: i64,
    /// The CPU time that the guest takes is added to this.
    pub(super) cpu_ns: &'a mut u64,
}

/// A worker's place for an instance: empty at first and after each failure.
pub(super) struct Slot<G> {
    live: Option<Live<G>>,
}

impl<G> Slot<G> {
    pub(super) fn new() -> Self {
        Self { live: None }
    }

    /// Calls the instance, starting one with `open` when there is none. `check` looks at what came
    /// back.
    ///
    /// # Errors
    /// The outer error: no instance could be had, which is not the batch's fault. The inner one:
    /// this call failed, and the instance is gone.
    pub(super) fn call<R, O>(
        &mut self,
        site: CallSite<'_>,
        open: impl FnOnce() -> Result<Live<G>, PluginError>,
        call: impl FnOnce(&mut Store<HostState>, &G) -> wasmtime::Result<Result<R, Fault>>,
        check: impl FnOnce(R) -> Result<O, BadOutput>,
    ) -> Result<Result<O, Box<CallError>>, PluginError> {
        let CallSite { core, name, deadline_us, cpu_ns } = site;
        let mut live = match self.live.take() {
            Some(live) => live,
            None => open()?,
        };
        let Live { store, guest, .. } = &mut live;
        let (result, used) = core.charge(store, name, deadline_us, |store| call(store, guest));
        *cpu_ns = cpu_ns.saturating_add(used);
        let result = match result {
            Ok(Ok(value)) => check(value)
                .map_err(|bad| core.call_error(name, Failure::BadOutput(bad.0), String::new())),
            Ok(Err(Fault::Config(reason) | Fault::Internal(reason))) => {
                let reason = super::log::clean(&reason);
                Err(core.call_error(name, Failure::Fault(reason), String::new()))
            }
            Err(error) => Err(error),
        };
        core.meter.called(used, result.is_err());
        if result.is_ok() {
            live.calls = live.calls.saturating_add(1);
            if live.calls < CALLS_PER_INSTANCE && !live.store.data().memory.is_high() {
                self.live = Some(live);
            } else {
                core.meter.recycled();
            }
        }
        Ok(result)
    }
}

/// Returns the kind of failure that `error` of wasmtime is.
fn classify(error: &wasmtime::Error, memory_refused: bool) -> Failure {
    if memory_refused {
        return Failure::Memory;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Failure::Deadline,
        Some(Trap::UnreachableCodeReached) => Failure::Trap("unreachable".into()),
        Some(Trap::StackOverflow) => Failure::Trap("stack overflow".into()),
        Some(trap) => {
            let text = trap.to_string();
            Failure::Trap(text.trim_start_matches("wasm trap: ").to_owned())
        }
        None => {
            let cause = super::log::clean(&error.root_cause().to_string());
            // wasmtime has no public type for this one.
            if cause.contains("fuel allocated for hostcalls") {
                Failure::OutputLimit
            } else {
                Failure::BadOutput(cause)
            }
        }
    }
}

/// Returns the guest's stack, when wasmtime kept it.
fn trace(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let mut text = String::new();
    for line in trace.to_string().lines().skip(1) {
        if text.len().saturating_add(line.len()) > MAX_TRACE_BYTES {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.extend(line.trim().chars().filter(|c| !c.is_control()));
    }
    text
}
