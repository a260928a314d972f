//! What the committed offsets of a group say about the checkpoint that counts.

use super::reader::Committed;
use crate::checkpoint::Pointer;

/// Partitions that do not name the same checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disagreement {
    /// Which ones, and what they say.
    pub what: String,
}

/// Returns the pointer that all partitions carry.
///
/// A partition without an offset is new, or its offset has expired: it says nothing. When no offset
/// comes with a text, they are another program's, and there is no pointer.
pub(super) fn agree(group: &str, found: &[Committed]) -> Result<Option<Pointer>, Disagreement> {
    let mut first: Option<(&Committed, Pointer)> = None;
    let mut bare: Option<&Committed> = None;
    for committed in found.iter().filter(|committed| committed.offset.is_some()) {
        if committed.metadata.is_empty() {
            bare = bare.or(Some(committed));
            continue;
        }
        let text = std::str::from_utf8(&committed.metadata).ok();
        let Some(pointer) = text.and_then(Pointer::parse) else {
            return Err(Disagreement {
                what: format!(
                    "group `{group}` has something with the offset of {} that is no checkpoint's \
                     name: {}",
                    committed.partition,
                    shown(&committed.metadata)
                ),
            });
        };
        match &first {
            None => first = Some((committed, pointer)),
            Some((other, expected)) if *expected != pointer => {
                return Err(Disagreement {
                    what: format!(
                        "the partitions of group `{group}` name different checkpoints: {} names \
                         {}, {} names {}",
                        other.partition,
                        expected.checkpoint,
                        committed.partition,
                        pointer.checkpoint
                    ),
                });
            }
            Some(_) => {}
        }
    }
    match (first, bare) {
        (Some((named, pointer)), Some(bare)) => Err(Disagreement {
            what: format!(
                "the offset of {} in group `{group}` was set by hand or by another program: {} \
                 names checkpoint {}, it names none",
                bare.partition, named.partition, pointer.checkpoint
            ),
        }),
        (first, _) => Ok(first.map(|(_, pointer)| pointer)),
    }
}

/// Shows any bytes, the first few.
fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..60).unwrap_or(bytes);
    let text: String = start.escape_ascii().map(char::from).collect();
    if start.len() < bytes.len() { format!("\"{text}…\"") } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::super::reader::TopicPartition;
    use super::*;

    fn pointer(digit: char) -> Pointer {
        Pointer { checkpoint: digit.to_string().repeat(32), epoch: 7 }
    }

    fn at(partition: i32, offset: Option<i64>, metadata: &[u8]) -> Committed {
        let partition = TopicPartition::new("logs", partition);
        Committed { partition, offset, metadata: metadata.to_vec() }
    }

    /// What was found, and the pointer or a part of the complaint.
    type Case<'a> = (&'a [Committed], Result<Option<Pointer>, &'a str>);

    #[test]
    fn all_or_nothing() {
        let (a, b) = (pointer('a').to_string(), pointer('b').to_string());
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let cases: [Case<'_>; 9] = [
            (&[], Ok(None)),
            (&[at(0, None, b""), at(1, None, b"")], Ok(None)),
            (&[at(0, Some(5), b""), at(1, Some(6), b"")], Ok(None)),
            (&[at(0, Some(5), a), at(1, Some(6), a)], Ok(Some(pointer('a')))),
            (&[at(0, Some(5), a), at(1, None, b"")], Ok(Some(pointer('a')))),
            (&[at(0, Some(5), a), at(1, Some(6), b)], Err("logs-0 names aaaa")),
            (&[at(0, Some(5), a), at(1, Some(6), b"")], Err("offset of logs-1 in group")),
            (&[at(0, Some(5), b"\xff\x00")], Err(r#"no checkpoint's name: "\xff\x00""#)),
            (&[at(0, Some(5), &[b'x'; 100])], Err("xxx…\"")),
        ];
        for (found, expected) in cases {
            match (agree("g", found), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(error), Err(part)) => assert!(error.what.contains(part), "{}", error.what),
                (found, expected) => panic!("{found:?}, expected {expected:?}"),
            }
        }
    }
}
