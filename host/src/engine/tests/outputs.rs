//! Which rows reach which node: main outputs, `.rejects`, `.late`, `.rows`, dead letters.

use serde_json::{Value, json};

use super::rig::{EVENTS, Memory, Rig, Still, column, event, run};

fn sink(inputs: &str) -> String {
    format!("\n[sinks.out]\ninputs = [{inputs}]\ntype = \"discard\"\n")
}

/// `(1 s, a, 1), (2 s, b, 2), …`
fn events(count: i64) -> Vec<String> {
    (1..=count).map(|n| event(n, if n % 2 == 0 { "b" } else { "a" }, n)).collect()
}

fn borrowed(records: &[String]) -> Vec<&str> {
    records.iter().map(String::as_str).collect()
}

#[test]
fn what_a_worker_took_is_not_taken_again() {
    // The sink makes the parser's rows be shipped to the owner; the window and the rule, which took
    // them on the worker, must not take them there once more.
    let nodes = "
[windows.w]
input = \"events\"
tumbling = \"1 minute\"
aggregate = { rows = \"count(*)\" }
[rules.odd]
input = \"events\"
when = \"k = 'a'\"
";
    let records = events(5);
    let rows =
        run(&format!("{EVENTS}{nodes}{}", sink(r#""events", "w", "odd""#)), &borrowed(&records));
    assert_eq!(rows["events"].len(), 5);
    assert_eq!(column(&rows["w"], "rows"), [json!(5)]);
    assert_eq!(rows["odd"].len(), 3);
}

#[test]
fn rejects_are_read_by_every_kind_of_node() {
    let nodes = "
[streams.short]
input = \"events.rejects\"
select = { why = \"reason\", at = \"position\" }
[rules.any]
input = \"events.rejects\"
when = \"position > 1\"
[windows.count]
input = \"events.rejects\"
global = true
aggregate = { rows = \"count(*)\" }
[windows.of_stream]
input = \"short\"
global = true
group_by = [\"why\"]
aggregate = { rows = \"count(*)\" }
";
    let good = event(1, "a", 1);
    let inputs = r#""short", "any", "count", "of_stream", "events.rejects""#;
    let text = format!("{EVENTS}{nodes}{}", sink(inputs));
    let rows = run(&text, &["nonsense", &good, "HUGE", "more"]);
    assert_eq!(column(&rows["events.rejects"], "position"), [json!(0), json!(3), json!(2)]);
    assert_eq!(column(&rows["short"], "at"), [json!(0), json!(3), json!(2)]);
    assert_eq!(rows["any"].len(), 2);
    assert_eq!(column(&rows["count"], "rows"), [json!(3)]);
    assert_eq!(rows["of_stream"].len(), 2, "{:?}", rows["of_stream"]);
}

#[test]
fn late_rows_are_read_by_every_kind_of_node() {
    let nodes = "
[windows.w]
input = \"events\"
tumbling = \"10 seconds\"
aggregate = { rows = \"count(*)\" }
[streams.short]
input = \"w.late\"
select = { v = \"v\", dropped = \"windows_dropped\" }
[rules.any]
input = \"w.late\"
when = \"v = 7\"
[windows.count]
input = \"w.late\"
global = true
aggregate = { rows = \"count(*)\", sum = \"sum(v)\" }
";
    let text = format!("{EVENTS}{nodes}{}", sink(r#""w", "short", "any", "count", "w.late""#));
    let records = [event(1, "a", 1), event(30, "a", 2), event(2, "b", 7), event(3, "b", 8)];
    let rows = run(&text, &borrowed(&records));
    assert_eq!(column(&rows["w"], "rows"), [json!(1), json!(1)]);
    assert_eq!(column(&rows["w.late"], "v"), [json!(7), json!(8)]);
    assert_eq!(rows["short"], [json!({"v": 7, "dropped": 1}), json!({"v": 8, "dropped": 1})]);
    assert_eq!(rows["any"].len(), 1);
    assert_eq!((&rows["count"][0]["rows"], &rows["count"][0]["sum"]), (&json!(2), &json!(15)));
}

#[test]
fn annotated_rows_are_read_like_rows() {
    let nodes = "
[rules.high]
input = \"events\"
key = [\"k\"]
plugin = \"threshold\"
config = { column = \"v\", bands = [{ value = 3 }] }
[rules.again]
input = \"high.rows\"
when = \"is_alert\"
[windows.w]
input = \"high.rows\"
tumbling = \"1 minute\"
group_by = [\"is_alert\"]
aggregate = { rows = \"count(*)\" }
";
    let records = events(4);
    let text = format!("{EVENTS}{nodes}{}", sink(r#""high", "high.rows", "again", "w""#));
    let rows = run(&text, &borrowed(&records));
    assert_eq!(rows["high.rows"].len(), 4);
    assert_eq!(rows["again"].len(), rows["high"].len());
    let total: i64 = column(&rows["w"], "rows").iter().filter_map(Value::as_i64).sum();
    assert_eq!(total, 4);
}

/// Where a row's SQL can fail, with the records that are refused there.
#[test]
fn rows_whose_sql_fails_are_dead_letters_with_their_place() {
    let bad = event(2, "x", 2);
    let records = [event(1, "2025-01-01", 1), bad.clone(), event(3, "2025-01-02", 3)];
    let stream = "[streams.s]\ninput = \"events\"\nderive = { at = \"to_timestamp(k)\" }\n";
    let rule = "[rules.s]\ninput = \"events\"\nwhen = \"to_timestamp(k) is not null\"\n";
    let window = "[windows.s]\ninput = \"events\"\ntumbling = \"1 minute\"\n\
                  aggregate = { last = \"max(to_timestamp(k))\" }\n";
    let derived = "[windows.w]\ninput = \"events\"\ntumbling = \"1 minute\"\ngroup_by = [\"k\"]\n\
                   aggregate = { rows = \"count(*)\" }\n\
                   [streams.s]\ninput = \"w\"\nderive = { at = \"to_timestamp(k)\" }\n";
    let after = "[windows.s]\ninput = \"events\"\ntumbling = \"1 minute\"\ngroup_by = [\"k\"]\n\
                 aggregate = { rows = \"count(*)\" }\nderive = { at = \"to_timestamp(k)\" }\n";
    let cases = [
        ("stream", stream, json!(1), json!("part-0"), json!(bad)),
        ("when rule", rule, json!(1), json!("part-0"), json!(bad)),
        ("window", window, json!(1), json!("part-0"), Value::Null),
        ("stream over results", derived, json!(0), json!(""), Value::Null),
        ("derive of a window", after, json!(0), json!(""), Value::Null),
    ];
    for (what, nodes, position, partition, record) in cases {
        let dead = "\n[dead_letters]\npath = \"dead.jsonl\"\n";
        let text = format!("{EVENTS}\n{nodes}{dead}{}", sink(r#""s""#));
        let mut rig = Rig::new(&text, vec![Memory::all(&borrowed(&records))], None);
        rig.run(&Still::default()).unwrap();
        let rows = rig.rows();
        let [letter] = &rows["dead_letters"][..] else {
            panic!("{what}: {:?}", rows["dead_letters"])
        };
        assert_eq!(letter["reason"], json!("expression_error"), "{what}");
        assert_eq!(letter["node"], json!("s"), "{what}");
        assert_eq!(letter["position"], position, "{what}");
        assert_eq!(letter["partition"], partition, "{what}");
        assert_eq!(letter["record"], record, "{what}");
        assert!(letter["detail"].as_str().is_some_and(|text| text.contains("'x'")), "{letter}");
        let counted: u64 = rig.stats().nodes.iter().flat_map(|node| node.rejects.values()).sum();
        assert_eq!(counted, 1, "{what}");
    }
}

#[test]
fn each_parser_of_a_source_refuses_for_itself() {
    let other = "
[parsers.texts]
input = \"in\"
plugin = \"regex\"
config = { pattern = '(?<word>[a-z]+) (?<n>\\d+)', columns = { n = \"int64\" } }
";
    let text = format!(
        "{EVENTS}{other}{}",
        sink(r#""events", "texts", "events.rejects", "texts.rejects""#)
    );
    let rows = run(&text, &[&event(1, "a", 1), "word 12", "neither"]);
    assert_eq!(rows["events"].len(), 1);
    assert_eq!(column(&rows["texts"], "word"), [json!("word")]);
    assert_eq!(column(&rows["events.rejects"], "position"), [json!(1), json!(2)]);
    assert_eq!(column(&rows["texts.rejects"], "position"), [json!(0), json!(2)]);
}

#[test]
fn several_inputs_come_in_the_order_of_the_log_however_it_is_cut() {
    let nodes = "
[streams.odd]
input = \"events\"
where = \"k = 'a'\"
[streams.even]
input = \"events\"
where = \"k = 'b'\"
[streams.both]
inputs = [\"even\", \"odd\"]
derive = { twice = \"2 * v\" }
[windows.three]
inputs = [\"even\", \"odd\"]
count = 3
aggregate = { sum = \"sum(v)\" }
[rules.seen]
inputs = [\"even\", \"odd\"]
when = \"true\"
[rules.keyed]
inputs = [\"even\", \"odd\"]
key = [\"k\"]
plugin = \"threshold\"
config = { column = \"v\", bands = [{ value = 0 }] }
";
    let inputs = r#""both", "three", "seen", "keyed", "keyed.rows""#;
    let records = events(9);
    let mut first = None;
    for (rows, workers) in [(1, 1), (2, 3), (4, 1), (100, 1), (100, 2)] {
        let text = format!("{EVENTS}{nodes}{}", sink(inputs))
            .replace("workers = 1", &format!("workers = {workers}\nepoch_rows = {rows}"));
        let found = run(&text, &borrowed(&records));
        assert_eq!(column(&found["both"], "v"), (1..=9).map(Value::from).collect::<Vec<_>>());
        assert_eq!(column(&found["three"], "sum"), [json!(6), json!(15), json!(24)]);
        assert_eq!(column(&found["keyed.rows"], "v"), column(&found["both"], "v"), "{rows}");
        let first = first.get_or_insert_with(|| found.clone());
        assert_eq!(&found, first, "epochs of {rows} rows, {workers} workers");
    }
}

#[test]
fn revisions_are_numbered_and_reach_no_rule_unless_asked_for() {
    let nodes = "
[windows.w]
input = \"events\"
tumbling = \"10 seconds\"
allowed_lateness = \"1 minute\"
aggregate = { rows = \"count(*)\" }
[rules.first]
input = \"w\"
when = \"rows > 0\"
[rules.all]
input = \"w\"
when = \"rows > 0\"
revisions = true
";
    let text = format!("{EVENTS}{nodes}{}", sink(r#""w", "first", "all""#))
        .replace("workers = 1", "workers = 1\nepoch_rows = 1");
    let records = [event(1, "a", 1), event(15, "a", 2), event(2, "a", 3), event(90, "a", 4)];
    let rows = run(&text, &borrowed(&records));
    let first: Vec<&Value> = rows["w"]
        .iter()
        .filter(|row| row["window_start"] == rows["w"][0]["window_start"])
        .collect();
    assert_eq!(
        first.iter().map(|row| (&row["rows"], &row["revision"])).collect::<Vec<_>>(),
        [(&json!(1), &json!(0)), (&json!(2), &json!(1))]
    );
    assert_eq!(rows["first"].len(), 3);
    assert_eq!(rows["all"].len(), 4);
    let ids = column(&rows["all"], "alert_id");
    assert_eq!(
        ids.iter().filter(|id| **id == ids[0]).count(),
        2,
        "a revision keeps the id: {ids:?}"
    );
}
