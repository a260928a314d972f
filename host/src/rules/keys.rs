//! What the host keeps for each key: history rows, the rule's state, its timer, the last row's time.
//!
//! Keys live in numbered slots found by their stable hash. A key that keeps nothing has no slot, so
//! a rule without state costs no memory however many keys pass by.

use std::collections::BTreeSet;

use hashbrown::HashTable;

use crate::data::NO_TIME;

/// Earlier rows of one key, encoded, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// For each row its length (4 bytes) and its encoding. Starts at `head`.
    bytes: Vec<u8>,
    head: usize,
    rows: usize,
}

impl History {
    /// Appends a row and forgets the oldest above `limit`.
    pub(super) fn push(&mut self, row: &[u8], limit: usize) {
        if limit == 0 {
            return;
        }
        super::codec::put_bytes(&mut self.bytes, row);
        self.rows = self.rows.saturating_add(1);
        while self.rows > limit {
            let mut rest = self.bytes.get(self.head..).unwrap_or_default();
            let before = rest.len();
            if super::codec::take_bytes(&mut rest).is_none() {
                break;
            }
            self.head = self.head.saturating_add(before.saturating_sub(rest.len()));
            self.rows = self.rows.saturating_sub(1);
        }
        if self.head > self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }

    /// Returns the encoded rows, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.get(self.head..).unwrap_or_default();
        std::iter::from_fn(move || super::codec::take_bytes(&mut rest))
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }
}

/// One key's state.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The encoded key.
    pub(super) key: Box<[u8]>,
    hash: u64,
    /// Earlier rows.
    pub(super) history: History,
    /// The rule's own state.
    pub(super) state: Option<Vec<u8>>,
    /// When the rule wants to be called without a row. Set through [`KeyTable::set_timer`].
    timer: Option<i64>,
    /// The latest row's time.
    pub(super) last_us: i64,
    /// Changed since the changes were last taken.
    changed: bool,
}

impl Entry {
    /// Returns the pending timer.
    pub(super) fn timer(&self) -> Option<i64> {
        self.timer
    }

    /// Returns the hash of the key.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    fn keeps_nothing(&self) -> bool {
        self.history.rows == 0 && self.state.is_none() && self.timer.is_none()
    }

    fn bytes(&self) -> usize {
        size_of::<Option<Self>>()
            .saturating_add(self.key.len())
            .saturating_add(self.history.bytes.capacity())
            .saturating_add(self.state.as_ref().map_or(0, Vec::capacity))
    }
}

/// All keys of a rule that keep something.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyTable {
    index: HashTable<u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    timers: BTreeSet<(i64, u32)>,
    bytes: usize,
    /// What has changed since it was last taken; none: nobody asks.
    changes: Option<Changes>,
}

/// Keys that differ from what was last written.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    /// Slots, each once; some may have been given up since, or to another key.
    slots: Vec<u32>,
    /// Keys forgotten. Some may be there again.
    pub(super) removed: Vec<Box<[u8]>>,
}

impl KeyTable {
    /// Returns the slot of a key.
    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let same = |slot: &u32| self.entry(*slot).is_some_and(|entry| *entry.key == *key);
        self.index.find(hash, same).copied()
    }

    /// Returns the slot of a key, making one when there is none. None: 2³² keys are taken.
    pub(super) fn ensure(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        if let Some(slot) = self.find(hash, key) {
            return Some(slot);
        }
        let entry = Entry {
            key: key.into(),
            hash,
            history: History::default(),
            state: None,
            timer: None,
            last_us: NO_TIME,
            changed: false,
        };
        self.bytes = self.bytes.saturating_add(entry.bytes());
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.entries.len()).ok()?;
                self.entries.push(None);
                slot
            }
        };
        *self.entries.get_mut(index(slot))? = Some(entry);
        let entries = &self.entries;
        self.index.insert_unique(hash, slot, |slot| hash_of(entries, *slot));
        Some(slot)
    }

    /// Returns what a slot holds.
    pub(super) fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(index(slot))?.as_ref()
    }

    /// Keeps track of changes from here on, for [`KeyTable::take_changes`].
    pub(super) fn track(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// Returns the keys that have changed since this was last asked, in the order of their bytes,
    /// and those that were forgotten, to be taken away before the others are put in.
    pub(super) fn take_changes(&mut self) -> (Vec<u32>, Vec<Box<[u8]>>) {
        let Some(Changes { mut slots, removed }) = self.changes.take() else {
            return Default::default();
        };
        self.changes = Some(Changes::default());
        slots.retain(|slot| match self.entries.get_mut(index(*slot)) {
            Some(Some(entry)) => std::mem::take(&mut entry.changed),
            _ => false,
        });
        slots.sort_by(|a, b| self.key(*a).cmp(self.key(*b)));
        (slots, removed)
    }

    fn note(&mut self, slot: u32) {
        if let (Some(changes), Some(Some(entry))) =
            (&mut self.changes, self.entries.get_mut(index(slot)))
            && !entry.changed
        {
            entry.changed = true;
            changes.slots.push(slot);
        }
    }

    /// Changes a slot.
    pub(super) fn update(&mut self, slot: u32, change: impl FnOnce(&mut Entry)) {
        if let Some(Some(entry)) = self.entries.get_mut(index(slot)) {
            let before = entry.bytes();
            change(entry);
            self.bytes = self.bytes.saturating_sub(before).saturating_add(entry.bytes());
        }
        self.note(slot);
    }

    /// Sets, replaces or removes a slot's timer.
    pub(super) fn set_timer(&mut self, slot: u32, at_us: Option<i64>) {
        if let Some(Some(entry)) = self.entries.get_mut(index(slot)) {
            if let Some(old) = std::mem::replace(&mut entry.timer, at_us) {
                self.timers.remove(&(old, slot));
            }
            if let Some(new) = at_us {
                self.timers.insert((new, slot));
            }
        }
        self.note(slot);
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, slot: u32) {
        self.set_timer(slot, None);
        let Some(entry) = self.entries.get_mut(index(slot)).and_then(Option::take) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        if let Ok(place) = self.index.find_entry(entry.hash, |other| *other == slot) {
            place.remove();
        }
        if let Some(changes) = &mut self.changes {
            changes.removed.push(entry.key);
        }
        self.free.push(slot);
    }

    /// Forgets a key when it keeps nothing.
    pub(super) fn tidy(&mut self, slot: u32) {
        if self.entry(slot).is_some_and(Entry::keeps_nothing) {
            self.remove(slot);
        }
    }

    /// Returns the slots whose timer is due at `watermark_us`, by time, then key.
    pub(super) fn due(&self, watermark_us: i64) -> Vec<(i64, u32)> {
        let mut due: Vec<_> = self.timers.range(..=(watermark_us, u32::MAX)).copied().collect();
        due.sort_by(|a, b| (a.0, self.key(a.1)).cmp(&(b.0, self.key(b.1))));
        due
    }

    /// Forgets keys whose last row is older than `ttl_us` at `watermark_us`.
    pub(super) fn expire(&mut self, watermark_us: i64, ttl_us: i64) {
        let mut expired = Vec::new();
        for (slot, entry) in (0u32..).zip(&self.entries) {
            if entry.as_ref().is_some_and(|entry| is_expired(entry.last_us, watermark_us, ttl_us)) {
                expired.push(slot);
            }
        }
        for slot in expired {
            self.remove(slot);
        }
    }

    /// Returns all slots in the order of their keys' bytes.
    pub(super) fn sorted(&self) -> Vec<&Entry> {
        let mut entries: Vec<_> = self.entries.iter().flatten().collect();
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        entries
    }

    /// Returns the number of keys.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Returns about how much memory the table takes.
    pub(super) fn memory_bytes(&self) -> usize {
        let timers = self.timers.len().saturating_mul(2 * size_of::<(i64, u32)>());
        let index = self.index.capacity().saturating_mul(size_of::<u32>() + 1);
        self.bytes.saturating_add(timers).saturating_add(index)
    }

    fn key(&self, slot: u32) -> &[u8] {
        self.entry(slot).map_or(&[], |entry| &entry.key)
    }
}

/// Returns true when state whose last row was at `last_us` is gone at `now_us`.
pub(super) fn is_expired(last_us: i64, now_us: i64, ttl_us: i64) -> bool {
    last_us != NO_TIME && now_us != NO_TIME && now_us.saturating_sub(last_us) > ttl_us
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

fn hash_of(entries: &[Option<Entry>], slot: u32) -> u64 {
    entries.get(index(slot)).and_then(Option::as_ref).map_or(0, |entry| entry.hash)
}
