//! One encoder for each input of a sink.

use arrow::datatypes::Schema;

use super::super::{Delivery, NODE_COLUMN, SinkError, SinkInput};
use crate::config::model::FileFormat;
use crate::encode::{CsvEncoder, JsonEncoder, Tag};

/// Encodes rows of several nodes into one stream of lines.
///
/// With several nodes every row starts with a column `node`.
#[derive(Debug)]
pub(in super::super) struct Encoders {
    /// Few, so that looking through them beats a map.
    nodes: Vec<(String, Encoder)>,
}

#[derive(Debug)]
enum Encoder {
    Json(JsonEncoder),
    Csv(CsvEncoder),
}

impl Encoders {
    pub(in super::super) fn new(
        format: FileFormat,
        inputs: &[SinkInput],
    ) -> Result<Self, SinkError> {
        let encoder = |node: &str, schema: &Schema| {
            let tag = (inputs.len() > 1).then_some(Tag { key: NODE_COLUMN, value: node });
            Ok::<_, SinkError>(match format {
                FileFormat::Jsonl => Encoder::Json(JsonEncoder::new(schema, tag)?),
                FileFormat::Csv => Encoder::Csv(CsvEncoder::new(schema, tag)?),
            })
        };
        let nodes = inputs
            .iter()
            .map(|input| Ok((input.node.clone(), encoder(&input.node, &input.schema)?)))
            .collect::<Result<_, SinkError>>()?;
        Ok(Self { nodes })
    }

    /// Returns what a file starts with. `check` makes sure that it is the same for all nodes.
    pub(super) fn header(&self) -> &[u8] {
        match self.nodes.first() {
            Some((_, Encoder::Csv(encoder))) => encoder.header(),
            _ => &[],
        }
    }

    /// Appends the rows. Nothing was appended when it fails.
    pub(in super::super) fn encode(
        &self,
        input: &Delivery<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), SinkError> {
        let encoder = self.nodes.iter().find(|(node, _)| node == input.node);
        match encoder {
            Some((_, Encoder::Json(encoder))) => encoder.encode(input.batch, out)?,
            Some((_, Encoder::Csv(encoder))) => encoder.encode(input.batch, out)?,
            None => return Err(SinkError::UnknownInput { node: input.node.to_owned() }),
        }
        Ok(())
    }
}

/// Returns the extension of files of a format.
pub(super) fn extension(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Jsonl => "jsonl",
        FileFormat::Csv => "csv",
    }
}
