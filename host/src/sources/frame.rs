//! Cuts bytes into records at newlines.
//!
//! A record ends at `\n` or `\r\n`; an empty line is an empty record; any other byte is data. The
//! buffer holds what was read and not yet taken; it grows no larger than the longest allowed
//! record and one block, whatever the input.

use super::OVERSIZED_PREFIX_BYTES;
use super::writer::Writer;

/// Why the framer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framed {
    /// It needs more bytes.
    NeedBytes,
    /// The quota of rows, or the position to stop at, is reached.
    Rows,
    /// The next record does not fit into the quota of bytes.
    Bytes,
}

/// A record that is too long and whose end has not come yet.
#[derive(Debug)]
struct Skip {
    position: i64,
    length: u64,
    prefix: Vec<u8>,
}

/// The bytes of one partition between reading and taking.
#[derive(Debug)]
pub(super) struct Framer {
    buffer: Vec<u8>,
    /// `buffer[start..end]` is not taken yet.
    start: usize,
    end: usize,
    /// No newline stands in `buffer[start..scanned]`.
    scanned: usize,
    /// The position of `buffer[start]`.
    position: i64,
    skip: Option<Skip>,
    block_bytes: usize,
    max_record_bytes: usize,
}

impl Framer {
    /// Starts at `position`.
    pub fn new(position: i64, max_record_bytes: usize, block_bytes: usize) -> Self {
        // A record's length must fit into a chunk's offsets.
        let longest = usize::try_from(i32::MAX).unwrap_or(usize::MAX);
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            scanned: 0,
            position,
            skip: None,
            block_bytes: block_bytes.max(1),
            max_record_bytes: max_record_bytes.min(longest),
        }
    }

    /// Forgets what was read and goes on at `position`.
    pub fn restart(&mut self, position: i64) {
        (self.start, self.end, self.scanned) = (0, 0, 0);
        self.position = position;
        self.skip = None;
    }

    /// Gives the buffer's memory back.
    pub fn release(&mut self) {
        let position = self.position();
        self.restart(position);
        self.buffer = Vec::new();
    }

    /// Returns the position from which reading again gives all that was not taken yet.
    pub fn position(&self) -> i64 {
        self.skip.as_ref().map_or(self.position, |skip| skip.position)
    }

    /// Returns the position behind the last byte read.
    pub fn end_position(&self) -> i64 {
        self.position.saturating_add(signed(self.end - self.start))
    }

    /// Returns where the next bytes go: at least half a block.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.end == 0 && self.buffer.len() > 2 * self.block_bytes {
            self.buffer.truncate(self.block_bytes);
            self.buffer.shrink_to_fit();
        }
        if self.buffer.len() - self.end < self.block_bytes.div_ceil(2) {
            let wanted = self.end.saturating_mul(2).max(self.block_bytes);
            let most = self.max_record_bytes.saturating_add(self.block_bytes).saturating_add(2);
            let least = self.end.saturating_add(self.block_bytes);
            self.buffer.resize(wanted.min(most).max(least), 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that `bytes` bytes were written into `space`.
    pub fn filled(&mut self, bytes: usize) {
        self.end = self.end.saturating_add(bytes).min(self.buffer.len());
    }

    /// Returns the last `bytes` bytes that were written.
    pub fn last(&self, bytes: usize) -> &[u8] {
        self.buffer.get(self.end.saturating_sub(bytes)..self.end).unwrap_or_default()
    }

    /// Takes whole records until the quota or the bytes are used up.
    pub fn take(&mut self, out: &mut Writer<'_>) -> Framed {
        loop {
            if !out.wants(self.position()) {
                return Framed::Rows;
            }
            let unseen = self.buffer.get(self.scanned..self.end).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', unseen) else {
                self.scanned = self.end;
                self.drop_if_too_long();
                return Framed::NeedBytes;
            };
            let newline = self.scanned + at;
            let line = self.buffer.get(self.start..newline).unwrap_or_default();
            let next = self.position.saturating_add(signed(line.len() + 1));
            if let Some(skip) = self.skip.take() {
                let length = skip.length.saturating_add(unsigned(line.len()));
                out.oversized(skip.position, next, length, skip.prefix);
            } else {
                let record = line.strip_suffix(b"\r").unwrap_or(line);
                if record.len() > self.max_record_bytes {
                    out.oversized(self.position, next, unsigned(line.len()), prefix(line));
                } else if !out.push(record, self.position, next) {
                    self.scanned = newline;
                    return Framed::Bytes;
                }
            }
            self.start = newline + 1;
            self.scanned = self.start;
            self.position = next;
        }
    }

    /// Takes what stands behind the last newline as a record, if anything does.
    ///
    /// To be called when `take` needs bytes and none will come.
    pub fn take_tail(&mut self, out: &mut Writer<'_>) -> Framed {
        let line = self.buffer.get(self.start..self.end).unwrap_or_default();
        let next = self.position.saturating_add(signed(line.len()));
        if let Some(skip) = self.skip.take() {
            let length = skip.length.saturating_add(unsigned(line.len()));
            out.oversized(skip.position, next, length, skip.prefix);
        } else if line.len() > self.max_record_bytes {
            out.oversized(self.position, next, unsigned(line.len()), prefix(line));
        } else if !line.is_empty() && !out.push(line, self.position, next) {
            return Framed::Bytes;
        }
        self.start = self.end;
        self.scanned = self.end;
        self.position = next;
        Framed::NeedBytes
    }

    /// Throws away the start of a record that is too long already.
    fn drop_if_too_long(&mut self) {
        let line = self.buffer.get(self.start..self.end).unwrap_or_default();
        let length = unsigned(line.len());
        match &mut self.skip {
            Some(skip) => skip.length = skip.length.saturating_add(length),
            // One more, because a last `\r` may belong to the terminator.
            None if line.len() > self.max_record_bytes.saturating_add(1) => {
                self.skip = Some(Skip { position: self.position, length, prefix: prefix(line) });
            }
            None => return,
        }
        self.position = self.end_position();
        self.start = self.end;
    }
}

fn prefix(line: &[u8]) -> Vec<u8> {
    line.get(..OVERSIZED_PREFIX_BYTES).unwrap_or(line).to_vec()
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn unsigned(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
