//! Encoded records on their way to Kafka, in one piece of memory.

use std::ops::Range;
use std::sync::Arc;

/// Records of one sink, in order.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    records: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    topic: Arc<str>,
    key: Option<Range<usize>>,
    payload: Range<usize>,
    headers: Vec<(Arc<str>, Range<usize>)>,
}

/// One record, borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecord<'a> {
    /// Where it goes.
    pub topic: &'a str,
    /// Its key; none for a null key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub payload: &'a [u8],
    /// Names and values of its headers.
    pub headers: Vec<(&'a str, &'a [u8])>,
}

impl Outgoing {
    /// Adds a record.
    pub fn push(
        &mut self,
        topic: &Arc<str>,
        key: Option<&[u8]>,
        payload: &[u8],
        headers: &[(Arc<str>, &[u8])],
    ) {
        let key = key.map(|key| self.store(key));
        let payload = self.store(payload);
        let headers =
            headers.iter().map(|(name, value)| (Arc::clone(name), self.store(value))).collect();
        self.records.push(Entry { topic: Arc::clone(topic), key, payload, headers });
    }

    fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    /// Returns the number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Returns true when there is none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the bytes of all records together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the records, in order.
    pub fn iter(&self) -> impl Iterator<Item = OutgoingRecord<'_>> {
        let of = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        self.records.iter().map(move |record| OutgoingRecord {
            topic: &record.topic,
            key: record.key.as_ref().map(of),
            payload: of(&record.payload),
            headers: record.headers.iter().map(|(name, value)| (&**name, of(value))).collect(),
        })
    }
}
