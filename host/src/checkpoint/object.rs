//! The file format of state: sections of columns, one behind the other.
//!
//! ```text
//! object := magic "MSSTATE1"                      8 bytes
//!           section*                              Arrow IPC streams, compressed
//!           index                                 JSON: for each section node, part, epoch, place
//!           length of the index      u32 little endian
//!           xxh3-64 of all before    u64 little endian
//! ```
//! An object is written once and never changed. Reading checks the length and checksum that the
//! manifest names before anything in it is believed.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use serde::{Deserialize, Serialize};

use crate::hash::hash64;

const MAGIC: &[u8; 8] = b"MSSTATE1";

/// Bytes behind the index.
const TAIL: usize = 12;

/// Columns of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The node's name.
    pub node: String,
    /// What these columns are of it, such as `groups`.
    pub part: String,
    /// The epoch they were made in; 0 where that means nothing.
    pub epoch: u64,
    /// Small things, as text.
    pub notes: String,
    /// The columns.
    pub batch: RecordBatch,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    node: String,
    part: String,
    epoch: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    notes: String,
    from: usize,
    bytes: usize,
}

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It is not what was written.
    #[error("{what}")]
    Damaged {
        /// What is wrong.
        what: &'static str,
    },
    /// Columns cannot be written or read.
    #[error(transparent)]
    Arrow(#[from] ArrowError),
    /// The index cannot be read.
    #[error("its index cannot be read: {0}")]
    Index(#[from] serde_json::Error),
}

/// Returns an object of these sections.
///
/// # Errors
/// When columns cannot be written.
pub fn encode(sections: &[Section]) -> Result<Vec<u8>, ObjectError> {
    let mut bytes = MAGIC.to_vec();
    let mut index = Vec::with_capacity(sections.len());
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
    for Section { node, part, epoch, notes, batch } in sections {
        let from = bytes.len();
        let schema = batch.schema_ref();
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, schema, options.clone())?;
        writer.write(batch)?;
        writer.finish()?;
        drop(writer);
        let (node, part, notes) = (node.clone(), part.clone(), notes.clone());
        index.push(Place { node, part, epoch: *epoch, notes, from, bytes: bytes.len() - from });
    }
    let index = serde_json::to_vec(&index)?;
    let length = u32::try_from(index.len())
        .map_err(|_| ObjectError::Damaged { what: "its index is too long" })?;
    bytes.extend_from_slice(&index);
    bytes.extend_from_slice(&length.to_le_bytes());
    let checksum = hash64(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(bytes)
}

/// Returns the sections of an object.
///
/// # Errors
/// When a byte is not as it was written.
pub fn decode(bytes: &[u8]) -> Result<Vec<Section>, ObjectError> {
    let damaged = |what| ObjectError::Damaged { what };
    if bytes.len() < MAGIC.len() + TAIL {
        return Err(damaged("it is too short"));
    }
    let (body, checksum) = bytes.split_at(bytes.len() - 8);
    if hash64(body).to_le_bytes() != checksum {
        return Err(damaged("its checksum is wrong"));
    }
    if !body.starts_with(MAGIC) {
        return Err(damaged("it is not a state object of this version"));
    }
    let (body, length) = body.split_at(body.len() - 4);
    let length = <[u8; 4]>::try_from(length).map_or(0, u32::from_le_bytes);
    let from = usize::try_from(length).ok().and_then(|length| body.len().checked_sub(length));
    let index = from.and_then(|from| body.get(from..)).ok_or(damaged("its index is cut off"))?;
    let places: Vec<Place> = serde_json::from_slice(index)?;
    let mut sections = Vec::with_capacity(places.len());
    for Place { node, part, epoch, notes, from, bytes } in places {
        let end = from.checked_add(bytes);
        let stream = end.and_then(|end| body.get(from..end));
        let stream = stream.ok_or(damaged("a section lies outside"))?;
        let mut reader = StreamReader::try_new(Cursor::new(stream), None)?;
        let batch = reader.next().ok_or(damaged("a section is empty"))??;
        sections.push(Section { node, part, epoch, notes, batch });
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn section(node: &str, rows: i64) -> Section {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let texts: ArrayRef = Arc::new(StringArray::from_iter(
            (0..rows).map(|row| (row % 3 > 0).then(|| format!("text {row}"))),
        ));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
        Section { node: node.into(), part: "groups".into(), epoch: 7, notes: "{}".into(), batch }
    }

    #[test]
    fn sections_survive() {
        for sections in [vec![], vec![section("a", 0)], vec![section("a", 1000), section("b", 3)]] {
            let bytes = encode(&sections).unwrap();
            assert_eq!(decode(&bytes).unwrap(), sections);
        }
    }

    #[test]
    fn every_torn_or_flipped_object_is_refused() {
        let bytes = encode(&[section("a", 100)]).unwrap();
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_err(), "cut to {length} of {}", bytes.len());
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            assert!(decode(&bytes).is_err(), "byte {at} flipped");
        }
    }
}
