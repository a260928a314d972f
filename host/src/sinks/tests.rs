//! What the tests of all sinks share.

use arrow::array::RecordBatch;

use super::{Delivery, SinkInput};
use crate::config::model::OutputMode;
use crate::data::NO_TIME;

pub(super) fn delivery<'a>(node: &'a str, batch: &'a RecordBatch) -> Delivery<'a> {
    Delivery { node, batch, revision: 0, watermark_us: NO_TIME, epoch: 1, mode: OutputMode::Append }
}

pub(super) fn input(node: &str, batch: &RecordBatch) -> SinkInput {
    SinkInput { node: node.to_owned(), schema: batch.schema() }
}
