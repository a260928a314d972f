//! What the generator put in, for judging what was found.

use std::io;

use serde::Serialize;

use super::write;

/// One thing that was put into the stream; a line of the ground truth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Truth {
    /// An incident's kind, or "out-of-order", "late", "malformed".
    pub kind: String,
    /// The service or address; "*" for all.
    pub target: String,
    /// From here in event time.
    pub start: String,
    /// To before here.
    pub end: String,
    /// Rows that carry it, among those written so far.
    pub rows: u64,
}

impl Truth {
    pub(super) fn new(kind: &str, target: &str, start_us: i64, end_us: i64, rows: u64) -> Self {
        let time = |time_us| {
            let mut text = Vec::new();
            write::rfc3339_us(&mut text, time_us);
            String::from_utf8_lossy(&text).into_owned()
        };
        Self {
            kind: kind.into(),
            target: target.into(),
            start: time(start_us),
            end: time(end_us),
            rows,
        }
    }

    /// Writes a list as JSON lines.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write_lines(list: &[Self], out: &mut impl io::Write) -> io::Result<()> {
        for truth in list {
            serde_json::to_writer(&mut *out, truth)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}
