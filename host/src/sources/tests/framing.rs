//! What a record is.

use std::fs;

use proptest::prelude::*;

use super::*;

fn read_all(content: &[u8], max_record_bytes: usize, rows: usize) -> (Vec<Record>, Vec<Oversized>) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), content).unwrap();
    let config = model::FileSource { max_record_bytes, ..file_config(&["a"], false) };
    let mut source = FileSource::open(&config, SourceId(0), folder.path()).unwrap();
    let budget = budget(rows);
    let (mut all, mut oversized) = (Vec::new(), Vec::new());
    loop {
        let mut out = ReadOutput::default();
        let state = source.read(&budget, 0, &mut out).unwrap();
        all.append(&mut records(&out, &budget));
        oversized.append(&mut out.oversized);
        if state == ReadState::Ended {
            break;
        }
        assert_eq!(state, ReadState::More, "a bounded file is never idle");
    }
    let end = source.partitions()[0].clone();
    assert!(end.finished);
    assert_eq!(end.position, i64::try_from(content.len()).unwrap());
    (all, oversized)
}

/// The definition of framing, in the plainest way: position and record.
fn naive(content: &[u8]) -> Vec<(usize, Vec<u8>)> {
    let mut all = Vec::new();
    let mut start = 0;
    for (at, byte) in content.iter().enumerate() {
        if *byte == b'\n' {
            let end = if at > start && content[at - 1] == b'\r' { at - 1 } else { at };
            all.push((start, content[start..end].to_vec()));
            start = at + 1;
        }
    }
    if start < content.len() {
        all.push((start, content[start..].to_vec()));
    }
    all
}

#[test]
fn table() {
    for (content, expected) in [
        (&b""[..], &[][..]),
        (b"\n", &[(0, &b""[..])]),
        (b"\n\n", &[(0, b""), (1, b"")]),
        (b"a", &[(0, b"a")]),
        (b"a\n", &[(0, b"a")]),
        (b"a\nb", &[(0, b"a"), (2, b"b")]),
        (b"a\r\nb\r\n", &[(0, b"a"), (3, b"b")]),
        (b"\r\n\r\n", &[(0, b""), (2, b"")]),
        (b"a\rb\n", &[(0, b"a\rb")]),
        (b"a\r\r\n", &[(0, b"a\r")]),
        (b"a\r", &[(0, b"a\r")]),
        (b"a\0b\n\0\n", &[(0, b"a\0b"), (4, b"\0")]),
        (b"\xff\xfe\n\xc3\n", &[(0, b"\xff\xfe"), (3, b"\xc3")]),
        (b"\xef\xbb\xbfa\n", &[(0, b"\xef\xbb\xbfa")]),
        ("grüß\n".as_bytes(), &[(0, "grüß".as_bytes())]),
    ] {
        for rows in [1, 2, 8192] {
            let (records, oversized) = read_all(content, 1 << 20, rows);
            let found: Vec<_> =
                records.iter().map(|record| (record.position, record.bytes.as_slice())).collect();
            assert_eq!(found, expected, "{content:?}");
            assert!(oversized.is_empty());
        }
    }
}

#[test]
fn records_that_are_too_long_are_cut_out() {
    let long = [b'x'; 11];
    for (content, good, bad) in [
        // Exactly as long as allowed, with either terminator.
        (b"0123456789\n0123456789\r\n".to_vec(), vec![0, 11], vec![]),
        ([&long[..], b"\nok\n"].concat(), vec![12], vec![(0, 12, 11)]),
        ([b"ok\n", &long[..], b"\r\nok"].concat(), vec![0, 16], vec![(3, 16, 12)]),
        // At the end, without a terminator.
        ([b"ok\n", &long[..]].concat(), vec![0], vec![(3, 14, 11)]),
        ([&long[..], b"\n", &long[..], b"\n"].concat(), vec![], vec![(0, 12, 11), (12, 24, 11)]),
    ] {
        for rows in [1, 8192] {
            let (records, oversized) = read_all(&content, 10, rows);
            let positions: Vec<_> = records.iter().map(|record| record.position).collect();
            assert_eq!(positions, good, "{content:?}");
            let found: Vec<_> = oversized
                .iter()
                .map(|record| (record.position, record.end_position, record.length))
                .collect();
            assert_eq!(found, bad, "{content:?}");
        }
    }
}

#[test]
fn a_huge_line_takes_little_memory() {
    let max = 100_000;
    let mut framer = frame::Framer::new(0, max, 16 << 10);
    let mut out = ReadOutput::default();
    let from = PartitionRef { source: SourceId(0), partition: Partition(0) };
    let quota = writer::Quota {
        rows: 10,
        bytes: 1 << 20,
        force: false,
        until: None,
        chunk_rows: 10,
        bytes_per_row: 10,
    };
    let mut writer = writer::Writer::new(from, quota, 0, &mut out);
    let mut fed = 0;
    while fed < 10_000_000 {
        let space = framer.space();
        assert!(space.len() <= max + (16 << 10) + 2, "{}", space.len());
        space.fill(b'y');
        let bytes = space.len();
        framer.filled(bytes);
        fed += bytes;
        assert_eq!(framer.take(&mut writer), frame::Framed::NeedBytes);
        assert_eq!(framer.position(), 0, "reading again must give the whole record");
    }
    framer.space()[..4].copy_from_slice(b"\nok\n");
    framer.filled(4);
    framer.take(&mut writer);
    writer.finish();
    let fed = u64::try_from(fed).unwrap();
    assert_eq!(out.oversized.len(), 1);
    assert_eq!(out.oversized[0].length, fed);
    assert_eq!(out.oversized[0].prefix, vec![b'y'; OVERSIZED_PREFIX_BYTES]);
    assert_eq!(out.chunks[0].record(0).unwrap(), b"ok");
    assert_eq!(out.chunks[0].positions, vec![i64::try_from(fed).unwrap() + 1]);
}

/// Bytes with many terminators, sometimes longer than a block.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        4 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (1usize..70_000).prop_map(|length| vec![b'z'; length]),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_cuts_give_the_same_records(
        content in content(),
        cuts in proptest::collection::vec((1usize..20, 1usize..5000, 1usize..9), 1..10),
        restart in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), &content).unwrap();
        let expected: Vec<_> = naive(&content)
            .into_iter()
            .map(|(position, bytes)| Record {
                partition: 0,
                position: i64::try_from(position).unwrap(),
                bytes,
            })
            .collect();

        let mut source = open_file(folder.path(), &["a"], false);
        let mut all = Vec::new();
        let mut reported = vec![source.partitions()[0].position];
        for (rows, bytes, chunk_rows) in cuts.into_iter().cycle() {
            let budget = ReadBudget { rows, bytes, chunk_rows, wait: Duration::ZERO };
            let mut out = ReadOutput::default();
            let state = source.read(&budget, 0, &mut out).unwrap();
            let mut found = records(&out, &budget);
            prop_assert!(state == ReadState::Ended || !found.is_empty(), "no progress");
            all.append(&mut found);
            let position = source.partitions()[0].position;
            if let Some(chunk) = out.chunks.last() {
                prop_assert_eq!(chunk.end_position, position);
            }
            reported.push(position);
            if state == ReadState::Ended {
                break;
            }
        }
        prop_assert_eq!(&all, &expected);

        // From any position that was reported, in the same and in a fresh source.
        let position = *restart.get(&reported);
        let rest: Vec<_> =
            expected.iter().filter(|record| record.position >= position).cloned().collect();
        for mut source in [source, open_file(folder.path(), &["a"], false)] {
            source.seek(Partition(0), position).unwrap();
            prop_assert_eq!(source.partitions()[0].position, position);
            prop_assert_eq!(&drain(&mut source, 8192), &rest);
        }
    }
}
