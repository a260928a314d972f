//! The store as commit authority: a commit is the creation of the next number.
//!
//! ```text
//! commits/00000000000000000007    "<owner> <pointer>\n"; the highest number counts
//! ```
//! `take_over` creates a number of its own that repeats the pointer, so whoever comes next loses
//! the race for it and knows that it is no longer alone. Old numbers are deleted, never the
//! highest, so a process that slept through many commits could create a deleted one: it looks for
//! higher numbers after it has created one, and is fenced when there are any.

use std::sync::Arc;

use super::authority::{Authority, AuthorityError, CommitPositions, Pointer, Tenure};
use super::store::{Created, Store, StoreError};
use crate::failpoint;
use crate::faults;
use crate::kafka::Outgoing;

const FOLDER: &str = "commits";

/// What stands for the pointer before the first commit.
const NOTHING: &str = "-";

/// The commits kept besides the one that counts, so that people can look at them.
const KEPT: usize = 8;

/// See the module.
pub struct StoreAuthority {
    store: Arc<Store>,
    tenure: Tenure,
    /// The number committed last.
    last: u64,
}

impl StoreAuthority {
    /// Returns the authority of the pipeline that `store` belongs to.
    pub fn new(store: Arc<Store>, tenure: Tenure) -> Self {
        Self { store, tenure, last: 0 }
    }

    /// Returns the highest number and what it says.
    fn highest(&self) -> Result<Option<(u64, String)>, AuthorityError> {
        for _ in 0..3 {
            let Some(number) = self.numbers()?.pop() else { return Ok(None) };
            // It is gone when somebody has just collected garbage: there is a higher one then.
            if let Some(text) = self.store.read(&path(number)).map_err(refused)? {
                return Ok(Some((number, String::from_utf8_lossy(&text).into_owned())));
            }
        }
        Err(AuthorityError::Refused {
            what: format!(
                "the commits in {} change faster than they can be read",
                self.store.place()
            ),
            remedy: "another instance seems to be running: stop it".into(),
        })
    }

    fn pointer(&self, number: u64, text: &str) -> Result<Option<Pointer>, AuthorityError> {
        match Pointer::parse(told(text)) {
            Some(pointer) => Ok(Some(pointer)),
            None if told(text) == NOTHING => Ok(None),
            None => Err(AuthorityError::Refused {
                what: format!(
                    "{} in {} is damaged: it says {text:?}",
                    path(number),
                    self.store.place()
                ),
                remedy: "`millstream checkpoints list FILE` shows what is there; `run \
                         --from-checkpoint ID` goes on from one of them, `run --reset` begins anew"
                    .into(),
            }),
        }
    }

    fn numbers(&self) -> Result<Vec<u64>, AuthorityError> {
        let listed = self.store.list(FOLDER).map_err(refused)?;
        let mut all: Vec<u64> =
            listed.iter().filter_map(|object| object.name.parse().ok()).collect();
        all.sort_unstable();
        Ok(all)
    }

    fn create(&mut self, number: u64, pointer: &str) -> Result<(), AuthorityError> {
        let text = format!("{} {pointer}\n", self.tenure.owner);
        match self.store.create(&path(number), text.as_bytes()).map_err(in_doubt)? {
            Created::New => {}
            Created::Exists => return Err(self.fenced(number)),
        }
        if faults::mutant("higher-commits") {
            self.last = number;
            return Ok(());
        }
        match self.highest().map_err(doubtful)? {
            Some((highest, _)) if highest > number => Err(self.fenced(highest)),
            _ => {
                self.last = number;
                Ok(())
            }
        }
    }

    fn fenced(&self, number: u64) -> AuthorityError {
        AuthorityError::Fenced {
            what: format!("commit {number} in {} is not ours", self.store.place()),
        }
    }

    /// Deletes commits far behind the one that counts.
    fn tidy(&self) -> Result<(), AuthorityError> {
        let numbers = self.numbers()?;
        for number in numbers.iter().rev().skip(1 + KEPT) {
            self.store.delete(&path(*number)).map_err(refused)?;
        }
        Ok(())
    }
}

impl Authority for StoreAuthority {
    fn take_over(&mut self) -> Result<Option<Pointer>, AuthorityError> {
        let found = self.highest()?;
        let (number, text) = found.unwrap_or((0, format!("{NOTHING} {NOTHING}")));
        if self.tenure.held && text.split(' ').next() != Some(self.tenure.owner.as_str()) {
            return Err(self.fenced(number));
        }
        let pointer = self.pointer(number, &text);
        // What is damaged is taken over too: the operator may name another checkpoint.
        let kept = pointer.as_ref().ok().and_then(Option::as_ref).map(ToString::to_string);
        let kept = match pointer {
            Ok(_) => kept.unwrap_or_else(|| NOTHING.to_owned()),
            Err(_) => told(&text).to_owned(),
        };
        self.create(number + 1, &kept)?;
        pointer
    }

    fn current(&mut self) -> Result<Option<Pointer>, AuthorityError> {
        match self.highest()? {
            Some((number, text)) => self.pointer(number, &text),
            None => Ok(None),
        }
    }

    fn send(&mut self, _records: Vec<Outgoing>) -> Result<(), AuthorityError> {
        Ok(())
    }

    fn commit(
        &mut self,
        pointer: &Pointer,
        _positions: &CommitPositions,
    ) -> Result<(), AuthorityError> {
        if failpoint!("commit::before-create") {
            return Err(AuthorityError::Aborted { what: "injected before the commit".into() });
        }
        self.create(self.last + 1, &pointer.to_string())?;
        if failpoint!("commit::after-create") {
            return Err(AuthorityError::Aborted { what: "injected after the commit".into() });
        }
        if let Err(error) = self.tidy() {
            tracing::warn!(%error, "old commits are left behind");
        }
        Ok(())
    }

    fn holds(&mut self) -> Result<bool, AuthorityError> {
        Ok(self.numbers()?.pop().is_none_or(|highest| highest == self.last))
    }
}

/// Returns what a commit says of the pointer.
fn told(text: &str) -> &str {
    text.trim_end().split_once(' ').map_or("", |(_, pointer)| pointer)
}

fn path(number: u64) -> String {
    format!("{FOLDER}/{number:020}")
}

/// Nothing was done.
fn refused(error: StoreError) -> AuthorityError {
    AuthorityError::Refused { remedy: error.remedy(), what: error.to_string() }
}

/// Something may have been done.
fn in_doubt(error: StoreError) -> AuthorityError {
    AuthorityError::Aborted { what: error.to_string() }
}

/// What was done before makes every failure a doubt.
fn doubtful(error: AuthorityError) -> AuthorityError {
    match error {
        AuthorityError::Refused { what, .. } => AuthorityError::Aborted { what },
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::path::Path;

    use super::*;

    fn store() -> Arc<Store> {
        let inner = Arc::new(InMemory::new());
        Arc::new(Store::over(inner, Path::default(), "memory".into()).unwrap())
    }

    fn pointer(epoch: u64) -> Pointer {
        Pointer { checkpoint: format!("{epoch:032x}"), epoch }
    }

    fn authority(store: &Arc<Store>, owner: &str) -> StoreAuthority {
        let tenure = Tenure { owner: owner.into(), held: false };
        StoreAuthority::new(Arc::clone(store), tenure)
    }

    #[test]
    fn the_last_commit_counts() {
        let store = store();
        let mut first = authority(&store, "a");
        assert_eq!(first.take_over().unwrap(), None);
        for epoch in 1..30 {
            first.commit(&pointer(epoch), &Vec::new()).unwrap();
        }
        assert!(first.holds().unwrap());
        assert_eq!(authority(&store, "b").take_over().unwrap(), Some(pointer(29)));
        assert!(store.list(FOLDER).unwrap().len() < 15);
    }

    #[test]
    fn who_takes_over_fences_at_once() {
        let store = store();
        let (mut first, mut second) = (authority(&store, "a"), authority(&store, "b"));
        first.take_over().unwrap();
        first.commit(&pointer(1), &Vec::new()).unwrap();
        assert_eq!(second.take_over().unwrap(), Some(pointer(1)));
        let lost = first.commit(&pointer(2), &Vec::new());
        assert!(matches!(lost, Err(AuthorityError::Fenced { .. })), "{lost:?}");
        assert!(!first.holds().unwrap());
        second.commit(&pointer(2), &Vec::new()).unwrap();
    }

    #[test]
    fn a_pipeline_that_was_taken_over_is_not_taken_back() {
        let store = store();
        authority(&store, "a").take_over().unwrap();
        let held = Tenure { owner: "a".into(), held: true };
        let mut again = StoreAuthority::new(Arc::clone(&store), held.clone());
        assert_eq!(again.take_over().unwrap(), None);
        authority(&store, "b").take_over().unwrap();
        let lost = StoreAuthority::new(Arc::clone(&store), held).take_over();
        assert!(matches!(lost, Err(AuthorityError::Fenced { .. })), "{lost:?}");
    }

    #[test]
    fn a_sleeper_cannot_create_a_number_that_was_collected() {
        let store = store();
        let (mut sleeper, mut second) = (authority(&store, "a"), authority(&store, "b"));
        sleeper.take_over().unwrap();
        second.take_over().unwrap();
        for epoch in 1..40 {
            second.commit(&pointer(epoch), &Vec::new()).unwrap();
        }
        let lost = sleeper.commit(&pointer(999), &Vec::new());
        assert!(matches!(lost, Err(AuthorityError::Fenced { .. })), "{lost:?}");
        assert_eq!(authority(&store, "c").take_over().unwrap(), Some(pointer(39)));
    }

    #[test]
    fn a_damaged_commit_is_not_passed_over() {
        let store = store();
        store.create(&path(3), b"a 1;00;7;00\n").unwrap();
        let refused = authority(&store, "a").take_over();
        assert!(matches!(refused, Err(AuthorityError::Refused { .. })), "{refused:?}");
    }
}
