//! Tests of the whole room.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, TimestampMicrosecondArray,
};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::*;
use crate::data::timestamp_type;

const DAY: i64 = 86_400_000_000;
/// 2025-01-01T00:00:00Z.
const NEW_YEAR: i64 = 20_089 * DAY;

/// Five rows; the last of each column is null but for `s`.
fn batch() -> RecordBatch {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for list in [Some(vec!["b", "a"]), Some(vec![]), Some(vec!["x"]), Some(vec!["b", "b"]), None] {
        for item in list.iter().flatten() {
            lists.values().append_value(item);
        }
        lists.append(list.is_some());
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(Int64Array::from(vec![Some(1), Some(7), Some(-3), Some(i64::MAX), None]))),
        ("b", Arc::new(Int64Array::from(vec![Some(0), Some(2), Some(3), Some(2), None]))),
        (
            "x",
            Arc::new(Float64Array::from(vec![Some(1.5), Some(0.0), Some(-2.0), Some(8.0), None])),
        ),
        (
            "s",
            Arc::new(StringArray::from(vec!["Hello", "12", "2025-01-01T00:00:00Z", "", "a b  c"])),
        ),
        (
            "ok",
            Arc::new(BooleanArray::from(vec![
                Some(true),
                Some(false),
                Some(true),
                Some(false),
                None,
            ])),
        ),
        (
            "t",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(NEW_YEAR),
                Some(NEW_YEAR + 5_250_000),
                Some(-1_500),
                Some(253_402_300_799_000_000),
                None,
            ])),
        ),
        (
            "u",
            Arc::new(TimestampMicrosecondArray::from(vec![
                Some(NEW_YEAR),
                Some(NEW_YEAR),
                Some(0),
                Some(NEW_YEAR),
                None,
            ])),
        ),
        ("l", Arc::new(lists.finish())),
        ("Odd name", Arc::new(Int64Array::from(vec![1, 2, 3, 4, 5]))),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), array.null_count() > 0))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

fn schema() -> Schema {
    batch().schema().as_ref().clone()
}

fn texts(array: &ArrayRef) -> Vec<String> {
    (0..array.len())
        .map(|row| match array.is_null(row) {
            true => "null".to_owned(),
            false => match array.as_any().downcast_ref::<Float64Array>() {
                Some(doubles) => doubles.value(row).to_string(),
                None => array_value_to_string(array, row).unwrap(),
            },
        })
        .collect()
}

/// Gathers what is wrong and tells all of it at the end.
#[derive(Default)]
struct Checks(std::cell::RefCell<Vec<String>>);

impl Checks {
    fn fail(&self, what: String) {
        self.0.borrow_mut().push(what);
    }

    /// Evaluates `sql` on the five rows; `expected` is separated by `|`.
    fn all(&self, sql: &str, data_type: DataType, expected: &str, made_null: u64, errors: &[u32]) {
        let compiled = match compile(sql, &schema()) {
            Ok(compiled) => compiled,
            Err(error) => return self.fail(format!("{sql}: {error:?}")),
        };
        let result = compiled.evaluate(&batch());
        let rows: Vec<u32> = result.errors.iter().map(|error| error.row).collect();
        let found = texts(&result.array).join("|");
        let good = found == expected
            && compiled.data_type() == &data_type
            && result.array.data_type() == &data_type
            && rows == errors
            && result.made_null == made_null
            && compiled.sql() == sql
            && (compiled.nullable() || result.array.null_count() == 0);
        if !good {
            self.fail(format!(
                "{sql}\n  found    {found}, {} made null, {:?}\n  expected {expected}, {made_null} made null, {errors:?}, {data_type}\n  {compiled:?}",
                result.made_null, result.errors
            ));
        }
    }

    fn check(&self, sql: &str, data_type: DataType, expected: &str) {
        self.all(sql, data_type, expected, 0, &[]);
    }

    /// Checks the message, what the caret points at (empty: no span), and a part of the help.
    fn refuse(&self, result: Result<(), SqlError>, sql: &str, message: &str, at: &str, help: &str) {
        let error = match result {
            Ok(()) => return self.fail(format!("{sql}: not refused")),
            Err(error) => error,
        };
        let pointed = error.span.clone().map_or("", |span| &sql[span]);
        if error.message != message || pointed != at || !error.help.join("; ").contains(help) {
            self.fail(format!(
                "{sql}\n  found    {} at `{pointed}` {:?}\n  expected {message} at `{at}` {help}",
                error.message, error.help
            ));
        }
    }
}

impl Drop for Checks {
    fn drop(&mut self) {
        let failures = self.0.borrow();
        if !failures.is_empty() && !std::thread::panicking() {
            panic!("{} checks failed:\n{}", failures.len(), failures.join("\n"));
        }
    }
}

use DataType::{Boolean, Float64, Int64, Utf8};

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item, true)))
}

#[test]
fn columns_and_literals() {
    let c = Checks::default();
    let max = i64::MAX;
    c.check("a", Int64, &format!("1|7|-3|{max}|null"));
    c.check("\"Odd name\"", Int64, "1|2|3|4|5");
    c.check("1.50", Float64, "1.5|1.5|1.5|1.5|1.5");
    c.check("-2", Int64, "-2|-2|-2|-2|-2");
    c.check("'it''s'", Utf8, "it's|it's|it's|it's|it's");
    c.check("null", Utf8, "null|null|null|null|null");
    c.check("true", Boolean, "true|true|true|true|true");
    c.check("60 * 60", Int64, "3600|3600|3600|3600|3600");
}

#[test]
fn a_column_is_not_copied() {
    let batch = batch();
    let result = compile("a", &schema()).unwrap().evaluate(&batch);
    assert!(Arc::ptr_eq(&result.array, batch.column(0)));
}

#[test]
fn arithmetic_is_row_safe() {
    let c = Checks::default();
    c.all(
        "100 * b / a",
        Float64,
        "0|28.571428571428573|-100|0.00000000000000002168404344971009|null",
        0,
        &[],
    );
    c.all("a / b", Float64, "null|3.5|-1|4611686018427388000|null", 1, &[]);
    c.all("x / x", Float64, "1|null|1|1|null", 1, &[]);
    c.all("a % b", Int64, "null|1|0|1|null", 1, &[]);
    c.all("a % 0", Int64, "null|null|null|null|null", 4, &[]);
    c.all("x % 0", Float64, "null|null|null|null|null", 4, &[]);
    c.all("a + 1", Int64, "2|8|-2|null|null", 1, &[]);
    c.all("-2 - a", Int64, "-3|-9|1|null|null", 1, &[]);
    c.all("a * a", Int64, "1|49|9|null|null", 1, &[]);
    c.all("1 / 0", Float64, "null|null|null|null|null", 5, &[]);
    c.check("-b", Int64, "0|-2|-3|-2|null");
    c.check("-x", Float64, "-1.5|-0|2|-8|null");
    c.check("b + x", Float64, "1.5|2|1|10|null");
    c.check("b * 2.5", Float64, "0|5|7.5|5|null");
    c.check("length(s) + b", Int64, "5|4|23|2|null");
    c.check("null + 1", Int64, "null|null|null|null|null");
    c.check("coalesce(b / 2, 0)", Float64, "0|1|1.5|1|0");
    c.all("coalesce(a / b, -1)", Float64, "-1|3.5|-1|4611686018427388000|-1", 1, &[]);
    c.check("case when b = 0 then 0 else a % b end", Int64, "0|1|0|1|null");
    c.check("case when ok then 1 else 2.5 end * 2", Float64, "2|5|2|5|5");
}

#[test]
fn casts_are_row_safe() {
    let c = Checks::default();
    c.all("cast(s as bigint)", Int64, "null|12|null|null|null", 4, &[]);
    c.all("s::double", Float64, "null|12|null|null|null", 4, &[]);
    c.check("try_cast(s as bigint)", Int64, "null|12|null|null|null");
    c.all(
        "cast(s as timestamp)",
        timestamp_type(),
        "null|null|2025-01-01T00:00:00|null|null",
        4,
        &[],
    );
    c.all("cast(a as int)", Int64, "1|7|-3|null|null", 1, &[]);
    c.check("cast(x as bigint)", Int64, "1|0|-2|8|null");
    c.check("cast(b as text)", Utf8, "0|2|3|2|null");
    c.check("cast(ok as bigint)", Int64, "1|0|1|0|null");
    c.all("cast('abc' as bigint)", Int64, "null|null|null|null|null", 5, &[]);
    c.check("cast(x as decimal(10, 1))", Float64, "1.5|0|-2|8|null");
    c.check("cast(x as real)", Float64, "1.5|0|-2|8|null");
}

#[test]
fn conditions() {
    let c = Checks::default();
    c.check("a >= 5", Boolean, "false|true|false|true|null");
    c.check("b > 1.5", Boolean, "false|true|true|true|null");
    c.check("b = x", Boolean, "false|false|false|false|null");
    c.check("b >= '2'", Boolean, "false|true|true|true|null");
    c.check("b in (2, 3)", Boolean, "false|true|true|true|null");
    c.check("b in ('2', '3')", Boolean, "false|true|true|true|null");
    c.check("s in ('12', 'x')", Boolean, "false|true|false|false|false");
    c.check("b not between 1 and 2", Boolean, "true|false|true|false|null");
    c.check("s like '_e%'", Boolean, "true|false|false|false|false");
    c.check("s ilike 'hel%' or s ~ '^[0-9]+$'", Boolean, "true|true|false|false|false");
    c.check("a is null", Boolean, "false|false|false|false|true");
    c.check("ok is not true", Boolean, "false|true|false|true|true");
    c.check("not ok and b = 2", Boolean, "false|true|false|true|null");
    c.check("array_length(l) > 1", Boolean, "true|false|false|true|null");
    c.check("a is distinct from null", Boolean, "true|true|true|true|false");
    c.check("nullif(b, 2)", Int64, "0|null|3|null|null");
    c.check("greatest(b, 2)", Int64, "2|2|3|2|2");
    c.check(
        "case s when '12' then 'twelve' else s || '!' end",
        Utf8,
        "Hello!|twelve|2025-01-01T00:00:00Z!|!|a b  c!",
    );
}

#[test]
fn the_right_side_counts_only_where_the_left_has_not_decided() {
    let c = Checks::default();
    c.all("b <> 0 and a / b > 1", Boolean, "false|true|false|true|null", 0, &[]);
    c.all("b = 0 or a / b > 1", Boolean, "true|true|false|true|null", 0, &[]);
    c.all("b >= 0 and a / b > 1", Boolean, "null|true|false|true|null", 1, &[]);
    c.all(
        "s = '2025-01-01T00:00:00Z' and to_timestamp(s) = t",
        Boolean,
        "false|false|false|false|false",
        0,
        &[],
    );
}

#[test]
fn text_functions() {
    let c = Checks::default();
    c.check("upper(s)", Utf8, "HELLO|12|2025-01-01T00:00:00Z||A B  C");
    c.check("substr(s, 1, 2)", Utf8, "He|12|20||a ");
    c.check("length(s)", Int64, "5|2|20|0|6");
    c.check("concat(s, '-', b)", Utf8, "Hello-0|12-2|2025-01-01T00:00:00Z-3|-2|a b  c-");
    c.check("regexp_replace(s, '[0-9]+', '#')", Utf8, "Hello|#|#-01-01T00:00:00Z||a b  c");
    c.check("split_part(s, '-', 2)", Utf8, "||01||");
    c.check("position('l' in s)", Int64, "3|0|0|0|0");
    c.check("trim(s)", Utf8, "Hello|12|2025-01-01T00:00:00Z||a b  c");
}

#[test]
fn lists() {
    let c = Checks::default();
    c.check("l", list(Utf8), "[b, a]|[]|[x]|[b, b]|null");
    c.check("split(s, ' ')", list(Utf8), "[Hello]|[12]|[2025-01-01T00:00:00Z]|[]|[a, b, , c]");
    c.check("array_sort(l)", list(Utf8), "[a, b]|[]|[x]|[b, b]|null");
    c.check("array_distinct(l)", list(Utf8), "[b, a]|[]|[x]|[b]|null");
    c.check("array_to_string(l, '+')", Utf8, "b+a||x|b+b|null");
    c.check("array_has(l, 'b')", Boolean, "true|false|false|true|null");
    c.check("array_length(string_to_array(s, ' '))", Int64, "1|1|1|0|4");
    c.check("l[1]", Utf8, "b|null|x|b|null");
    c.check("[b, 9]", list(Int64), "[0, 9]|[2, 9]|[3, 9]|[2, 9]|[, 9]");
    let (_, item) = compile_list("split(s, ' ')", &schema()).unwrap();
    assert_eq!(item, Utf8);
}

#[test]
fn timestamps() {
    let c = Checks::default();
    let ts = timestamp_type;
    c.check(
        "t",
        ts(),
        "2025-01-01T00:00:00|2025-01-01T00:00:05.250|1969-12-31T23:59:59.998500|9999-12-31T23:59:59|null",
    );
    c.check("t >= '2025-01-01T00:00:00Z'", Boolean, "true|true|false|true|null");
    c.check("t > '2025-01-01T02:00:00+02:00'", Boolean, "false|true|false|true|null");
    c.check("'2025-01-01' = t", Boolean, "true|false|false|false|null");
    c.check("t = date '2025-01-01'", Boolean, "true|false|false|false|null");
    c.check("t >= timestamp '2025-01-01 00:00:00'", Boolean, "true|true|false|true|null");
    c.check("t between '2025-01-01' and '2025-01-02'", Boolean, "true|true|false|false|null");
    c.check(
        "date_trunc('second', t)",
        ts(),
        "2025-01-01T00:00:00|2025-01-01T00:00:05|1969-12-31T23:59:59|9999-12-31T23:59:59|null",
    );
    c.check("extract(epoch from u)", Float64, "1735689600|1735689600|0|1735689600|null");
    c.check("extract(hour from t)", Int64, "0|0|23|23|null");
    c.check("date_part('year', t)", Int64, "2025|2025|1969|9999|null");
    c.check(
        "u + interval '1 day'",
        ts(),
        "2025-01-02T00:00:00|2025-01-02T00:00:00|1970-01-02T00:00:00|2025-01-02T00:00:00|null",
    );
    c.check("t - u", Int64, "0|5250000|-1500|251666611199000000|null");
    c.check("(t - u) / 1000", Float64, "0|5250|-1.5|251666611199000|null");
    c.check("t - u > interval '5 seconds'", Boolean, "false|true|false|true|null");
    c.check("t - u > 1000000", Boolean, "false|true|false|true|null");
    c.check("to_unix_ms(t)", Int64, "1735689600000|1735689605250|-2|253402300799000|null");
    c.check("to_unix_us(u) % 7", Int64, "1|1|0|1|null");
    c.check(
        "from_unix_ms(b * 1000)",
        ts(),
        "1970-01-01T00:00:00|1970-01-01T00:00:02|1970-01-01T00:00:03|1970-01-01T00:00:02|null",
    );
    c.all(
        "from_unix_ms(a)",
        ts(),
        "1970-01-01T00:00:00.001|1970-01-01T00:00:00.007|1969-12-31T23:59:59.997|null|null",
        1,
        &[],
    );
    c.check(
        "to_timestamp(x)",
        ts(),
        "1970-01-01T00:00:01.500|1970-01-01T00:00:00|1969-12-31T23:59:58|1970-01-01T00:00:08|null",
    );
    c.check(
        "cast(t as date)",
        ts(),
        "2025-01-01T00:00:00|2025-01-01T00:00:00|1969-12-31T00:00:00|9999-12-31T00:00:00|null",
    );
}

#[test]
fn a_failing_row_is_found_and_its_neighbours_live() {
    let c = Checks::default();
    c.all(
        "to_timestamp(s)",
        timestamp_type(),
        "null|null|2025-01-01T00:00:00|null|null",
        0,
        &[0, 1, 3, 4],
    );
    c.all(
        "case when s = '' then null else to_timestamp(s) end",
        timestamp_type(),
        "null|null|2025-01-01T00:00:00|null|null",
        0,
        &[0, 1, 4],
    );
    let values: Vec<String> = (0..1000)
        .map(|row| if row % 333 == 7 { "x".into() } else { "2025-01-01".into() })
        .collect();
    let field = Field::new("s", Utf8, false);
    let schema = Arc::new(Schema::new(vec![field]));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringArray::from(values))])
        .unwrap();
    let result = compile("to_timestamp(s)", &schema).unwrap().evaluate(&rows);
    let found: Vec<u32> = result.errors.iter().map(|error| error.row).collect();
    assert_eq!(found, [7, 340, 673]);
    assert_eq!(result.array.null_count(), 3);
    assert!(result.errors[0].message.contains("'x'"), "{:?}", result.errors[0]);
}

#[test]
fn an_empty_batch_and_a_batch_of_another_shape() {
    let compiled = compile("a + 1", &schema()).unwrap();
    assert_eq!(compiled.evaluate(&batch().slice(0, 0)).array.data_type(), &Int64);
    let other = batch().project(&[3]).unwrap();
    assert_eq!(compiled.evaluate(&other).errors.len(), 5);
    assert_eq!(compiled.columns(), [0]);
}

#[test]
fn wrong_expressions_are_refused_with_their_place() {
    let c = Checks::default();
    for (sql, message, at, help) in [
        ("", "the expression is empty", "", ""),
        ("B + 1", "unknown column `B`", "B", "did you mean `b`?"),
        ("1 + okk", "unknown column `okk`", "okk", "columns: a, b, x, s"),
        ("s = \"Hello\"", "unknown column `Hello`", "\"Hello\"", "single quotes: 'Hello'"),
        ("b > 1 and\n  zz.a = 2", "unknown column `zz.a`", "zz.a", "without a prefix: `a`"),
        ("uper(s)", "unknown function `uper`", "uper", "did you mean `upper`?"),
        ("now() > t", "`now` is not allowed: it reads the clock", "now()", "its row alone"),
        (
            "t < CURRENT_TIMESTAMP",
            "`CURRENT_TIMESTAMP` is not allowed: it reads the clock",
            "CURRENT_TIMESTAMP",
            "",
        ),
        ("current_date", "`current_date` is not allowed: it reads the clock", "current_date", ""),
        (
            "x + random()",
            "`random` is not allowed: it gives another result each time",
            "random()",
            "",
        ),
        ("uuid()", "`uuid` is not allowed: it gives another result each time", "uuid()", ""),
        (
            "a > (select 1)",
            "subqueries are not supported: an expression sees one row",
            "select 1",
            "",
        ),
        (
            "exists (select 1)",
            "subqueries are not supported: an expression sees one row",
            "select 1",
            "",
        ),
        (
            "row_number() over (order by a)",
            "`row_number(…) over (…)`: SQL window functions are not supported",
            "row_number()",
            "[windows.<name>]",
        ),
        ("sum(a) > 5", "the aggregate `sum` is not allowed here", "sum(a)", "`aggregate`"),
        ("unnest(l)", "`unnest` is not allowed in an expression", "unnest(l)", ""),
        ("a + s", "`+` cannot be applied to int64 and text", "a + s", "`||` joins text"),
        ("ok and (a - s) > 1", "`-` cannot be applied to int64 and text", "a - s", ""),
        ("t + 5", "`+` cannot be applied to timestamp and int64", "t + 5", "interval"),
        ("s = 5", "`=` cannot compare text with int64", "s = 5", "'5'"),
        ("b = 'five'", "`=` cannot compare int64 with text", "b = 'five'", ""),
        (
            "ok or t > 'yesterday'",
            "'yesterday' is not a valid timestamp",
            "t > 'yesterday'",
            "'2025-01-31T12:00:00Z'",
        ),
        (
            "t - u > interval '1 month'",
            "a duration cannot be compared with an interval of months or years",
            "t - u > interval '1 month'",
            "days",
        ),
        (
            "interval '1 day'",
            "the result is an interval, which is not a column type",
            "'1 day'",
            "",
        ),
        (
            "-s",
            "unary operator '-' only supports signed numeric, interval and timestamp types",
            "s",
            "",
        ),
        ("a +", "expected an expression, found the end of the text", "", ""),
        ("a + )", "expected an expression, found )", ")", ""),
        ("a = 1 b", "unexpected `b` after the expression", "b", ""),
        ("a as b", "unexpected `as` after the expression", "as", "named by the key"),
        ("$1 + 2", "parameters such as `$1` are not supported", "$1", ""),
        (
            "upper(s) filter (where ok)",
            "`upper` is not an aggregate",
            "upper(s) filter (where ok)",
            "",
        ),
    ] {
        c.refuse(compile(sql, &schema()).map(drop), sql, message, at, help);
    }
    for (sql, part) in [
        ("s = 'unclosed", "nterminated string"),
        ("regexp_like(s, '(')", "unclosed group"),
        ("s ~ '('", "unclosed group"),
        ("date_trunc('fortnight', t)", "fortnight"),
        ("timestamp 'garbage' < t", "garbage"),
        ("to_timestamp('garbage') < t", "garbage"),
        ("upper(s, s)", "upper"),
        ("ok + 1", "boolean"),
        ("x and ok", "AND"),
    ] {
        match compile(sql, &schema()) {
            Ok(compiled) => c.fail(format!("{sql}: not refused: {compiled:?}")),
            Err(error) if error.message.contains(part) && error.span.is_some() => {}
            Err(error) => c.fail(format!("{sql}: {error:?}")),
        }
    }
    let chain = vec!["a = 1"; 5000].join(" or ");
    assert!(compile(&chain, &schema()).unwrap_err().message.contains("operators in a row"));
    let nested = format!("{}a{}", "(".repeat(5000), ")".repeat(5000));
    assert!(compile(&nested, &schema()).unwrap_err().message.contains("nesting"));
}

#[test]
fn predicates_and_lists_have_their_types() {
    let c = Checks::default();
    let sql = "a + 1";
    c.refuse(
        compile_predicate(sql, &schema()).map(drop),
        sql,
        "a condition must be true or false, but this is int64",
        sql,
        "",
    );
    c.refuse(
        compile_list("s", &schema()).map(drop),
        "s",
        "this must be a list, but it is text",
        "",
        "split",
    );
    assert!(compile_predicate("a > 1", &schema()).is_ok());
}

#[test]
fn aggregates() {
    use AggregateFunction as F;
    let ts = timestamp_type;
    for (sql, function, distinct, arguments, parameters, result) in [
        ("count(*)", F::Count, false, vec![], 0, Int64),
        ("(count(*))", F::Count, false, vec![], 0, Int64),
        ("COUNT(1)", F::Count, false, vec![], 0, Int64),
        ("count(s)", F::Count, false, vec![Utf8], 0, Int64),
        ("count(distinct s)", F::Count, true, vec![Utf8], 0, Int64),
        ("count(*) filter (where a > 1)", F::Count, false, vec![], 0, Int64),
        ("sum(a)", F::Sum, false, vec![Int64], 0, Int64),
        ("sum(x * 2)", F::Sum, false, vec![Float64], 0, Float64),
        ("avg(a)", F::Avg, false, vec![Float64], 0, Float64),
        ("mean(x)", F::Avg, false, vec![Float64], 0, Float64),
        ("min(t)", F::Min, false, vec![ts()], 0, ts()),
        ("max(distinct s)", F::Max, false, vec![Utf8], 0, Utf8),
        ("stddev(a)", F::StddevSamp, false, vec![Float64], 0, Float64),
        ("stddev_pop(x)", F::StddevPop, false, vec![Float64], 0, Float64),
        ("var(x)", F::VarSamp, false, vec![Float64], 0, Float64),
        ("var_pop(x)", F::VarPop, false, vec![Float64], 0, Float64),
        ("approx_distinct(s)", F::ApproxDistinct, false, vec![Utf8], 0, Int64),
        ("first_value(ok)", F::FirstValue, false, vec![Boolean], 0, Boolean),
        ("last_value(l)", F::LastValue, false, vec![list(Utf8)], 0, list(Utf8)),
        ("array_agg(distinct a)", F::ArrayAgg, true, vec![Int64], 0, list(Int64)),
        ("median(a)", F::Median, false, vec![Float64], 0, Float64),
        ("percentile_cont(a, 0.95)", F::PercentileCont, false, vec![Float64], 1, Float64),
        (
            "percentile_cont(0.95) within group (order by x)",
            F::PercentileCont,
            false,
            vec![Float64],
            1,
            Float64,
        ),
        (
            "approx_percentile_cont(0.95, 200) within group (order by a)",
            F::ApproxPercentileCont,
            false,
            vec![Float64],
            2,
            Float64,
        ),
        (
            "approx_percentile_cont(x, 0.5)",
            F::ApproxPercentileCont,
            false,
            vec![Float64],
            1,
            Float64,
        ),
        ("approx_median(x)", F::ApproxPercentileCont, false, vec![Float64], 1, Float64),
    ] {
        let call =
            compile_aggregate(sql, &schema()).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        assert_eq!(call.spec.function, function, "{sql}");
        assert_eq!(call.spec.distinct, distinct, "{sql}");
        assert_eq!(call.spec.argument_types, arguments, "{sql}");
        assert_eq!(call.spec.parameters.len(), parameters, "{sql}");
        assert_eq!(call.spec.result_type, result, "{sql}");
        assert_eq!(call.filter.is_some(), sql.contains("filter"), "{sql}");
        let types: Vec<DataType> =
            call.arguments.iter().map(|argument| argument.data_type().clone()).collect();
        assert_eq!(types, arguments, "{sql}");
    }
    let call = compile_aggregate("avg(a) filter (where b = 2)", &schema()).unwrap();
    assert_eq!(texts(&call.arguments[0].evaluate(&batch()).array)[1], "7");
    assert_eq!(
        texts(&call.filter.unwrap().evaluate(&batch()).array).join("|"),
        "false|true|false|true|null"
    );
    assert_eq!(call.arguments[0].sql(), "a");
}

#[test]
fn wrong_aggregates_are_refused_with_their_place() {
    let c = Checks::default();
    let advice = "in `derive`";
    for (sql, message, at, help) in [
        (
            "sum(a) / count(*)",
            "an aggregate cannot be part of a larger expression here",
            "sum(a)",
            advice,
        ),
        (
            "coalesce(sum(a), 0)",
            "an aggregate cannot be part of a larger expression here",
            "sum(a)",
            advice,
        ),
        ("a + 1", "this is not an aggregate", "a + 1", "supported: count, sum"),
        ("upper(s)", "this is not an aggregate", "upper(s)", "supported: count, sum"),
        ("corr(a, b)", "the aggregate `corr` is not supported", "corr", "supported: count, sum"),
        ("bool_or(ok)", "the aggregate `bool_or` is not supported", "bool_or", "filter (where …)"),
        ("cuont(*)", "unknown aggregate `cuont`", "cuont", "did you mean `count`?"),
        ("sum(ok)", "`sum` takes numbers, not boolean", "ok", "count(*) filter (where …)"),
        ("avg(s)", "`avg` takes numbers, not text", "s", "cast"),
        ("min(ok)", "`min` takes numbers, text or timestamps, not boolean", "ok", ""),
        (
            "sum(distinct a)",
            "`sum(distinct …)` is not supported",
            "sum(distinct a)",
            "count and array_agg",
        ),
        ("sum(a, b)", "`sum` takes one value, not 2", "sum(a, b)", ""),
        ("sum(*)", "`*` does not go with `sum` here", "sum(*)", ""),
        ("count()", "`count` needs an argument", "count()", "count(*)"),
        ("sum(aa)", "unknown column `aa`", "aa", "columns: a, b"),
        ("sum(sum(a))", "the aggregate `sum` is not allowed here", "sum(a)", ""),
        (
            "count(*) filter (where a)",
            "a condition must be true or false, but this is int64",
            "a",
            "",
        ),
        (
            "percentile_cont(a)",
            "`percentile_cont` needs a percentile",
            "percentile_cont(a)",
            "within group",
        ),
        ("percentile_cont(a, 95)", "the percentile must be a number from 0 to 1", "95", ""),
        (
            "array_agg(a order by b)",
            "`array_agg` takes no `order by` and no null treatment",
            "array_agg(a order by b)",
            "event time",
        ),
        ("sum(a) over ()", "SQL window functions are not supported", "sum(a)", ""),
    ] {
        c.refuse(compile_aggregate(sql, &schema()).map(drop), sql, message, at, help);
    }
}

#[test]
fn functions_are_listed_by_group() {
    let groups = supported_functions();
    let group = |name| &groups.iter().find(|(group, _)| *group == name).unwrap().1;
    assert!(group("text").contains(&"split".to_owned()));
    assert!(group("time").contains(&"to_unix_ms".to_owned()));
    assert!(!group("time").contains(&"now".to_owned()));
    assert!(group("aggregates").contains(&"count".to_owned()));
}

#[test]
fn threads_share_an_expression_but_not_its_counts() {
    let compiled = compile("a / b", &schema()).unwrap();
    std::thread::scope(|scope| {
        for rows in 1..=4_usize {
            let compiled = compiled.clone();
            scope.spawn(move || {
                for _ in 0..200 {
                    assert_eq!(compiled.evaluate(&batch().slice(0, rows)).made_null, 1);
                    assert_eq!(compiled.evaluate(&batch().slice(1, rows)).made_null, 0);
                }
            });
        }
    });
}

const BY_ROW: &[&str] = &[
    "a",
    "a / b",
    "a * b + a % b - 1",
    "b <> 0 and a / b > 1",
    "s <> '' and to_timestamp(s) > '2025-01-01'",
    "b = 0 or a * 4 > 3 or cast(s as bigint) = 1",
    "coalesce(cast(s as bigint), a / b)",
    "case when a > 0 then to_timestamp(s) when b > 0 then null end",
    "split(s, ' ')",
    "upper(s) || 'x'",
    "a between b and 10",
    "regexp_replace(s, '[0-9]', '#')",
];

proptest! {
    /// A row's value, error and counts do not depend on the rows beside it.
    #[test]
    fn a_batch_is_the_sum_of_its_rows(
        rows in prop::collection::vec((
            prop::option::of(prop_oneof![-3_i64..4, Just(i64::MAX), Just(i64::MIN)]),
            prop::option::of(-2_i64..3),
            prop_oneof![Just(""), Just("7"), Just("a b"), Just("2025-06-01")],
        ), 1..40),
    ) {
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", Int64, true),
            Field::new("b", Int64, true),
            Field::new("s", Utf8, true),
        ]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![
            Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
        ]).unwrap();
        for sql in BY_ROW {
            let compiled = compile(sql, &schema).unwrap();
            let whole = compiled.evaluate(&batch);
            let single: Vec<Evaluated> = (0..rows.len()).map(|row| compiled.evaluate(&batch.slice(row, 1))).collect();
            let arrays: Vec<&dyn Array> = single.iter().map(|one| one.array.as_ref()).collect();
            prop_assert_eq!(&whole.array, &concat(&arrays).unwrap(), "{}", sql);
            prop_assert_eq!(whole.made_null, single.iter().map(|one| one.made_null).sum::<u64>(), "{}", sql);
            let errors: Vec<RowError> = single.iter().enumerate().flat_map(|(row, one)| {
                one.errors.iter().map(move |error| RowError { row: u32::try_from(row).unwrap(), message: error.message.clone() })
            }).collect();
            prop_assert_eq!(whole.errors, errors, "{}", sql);
        }
    }
}
