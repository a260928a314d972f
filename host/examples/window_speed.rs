//! Measures `window` alone: nanoseconds of CPU time a row for combine, merge and forming results.
//!
//! `cargo run -p millstream --example window_speed` prints one line per workload; the rows are
//! made before timing and the results counted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::DataType;
use millstream::config::model::{OutputMode, WindowKind};
use millstream::data::NO_TIME;
use millstream::expr::{AggregateFunction as F, AggregateSpec};
use millstream::window::{PartitionTime, Shard, Window, WindowInput, WindowSpec};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: i64 = 8_192;
const DELAY: i64 = 5_000_000;

/// CPU time of this thread: a busy machine does not change it much.
fn cpu_ns() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn scramble(z: i64) -> i64 {
    (z ^ (z >> 7)).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20 & 0xffff
}

fn aggregate(
    function: F,
    distinct: bool,
    argument: Option<DataType>,
    result: DataType,
) -> AggregateSpec {
    AggregateSpec {
        function,
        distinct,
        argument_types: argument.into_iter().collect(),
        parameters: vec![],
        result_type: result,
    }
}

fn batch(first: i64, per_second: i64, w1: bool) -> WindowInput {
    let rows = first..first + BATCH;
    let time = |z: i64| {
        let behind = if z % 100 == 0 { 200_000_000 } else { scramble(z) * 60 };
        z * 1_000_000 / per_second - behind
    };
    let latency: ArrayRef =
        Arc::new(Float64Array::from_iter_values(rows.clone().map(|z| scramble(z) as f64 / 7.0)));
    let user: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.clone().map(|z| format!("user-{}", z % 100_000)),
    ));
    let service: ArrayRef = Arc::new(StringArray::from_iter_values(
        rows.clone().map(|z| format!("service-{:03}", z % 100)),
    ));
    let error: BooleanArray = rows.clone().map(|z| Some(scramble(z) % 20 == 0)).collect();
    let mut latest = NO_TIME;
    let before: Vec<i64> = rows
        .clone()
        .map(|z| {
            let before = latest;
            latest = latest.max(time(z));
            before
        })
        .collect();
    let one = || vec![Arc::clone(&latency)];
    let (keys, arguments, filters) = if w1 {
        let arguments = vec![vec![], one(), one(), one(), one(), vec![], vec![Arc::clone(&user)]];
        let mut filters = vec![None; 7];
        filters[5] = Some(error);
        (service, arguments, filters)
    } else {
        (user, vec![vec![], one(), one()], vec![None; 3])
    };
    WindowInput {
        keys: vec![keys],
        arguments,
        filters,
        time: rows.clone().map(|z| Some(time(z))).collect(),
        position: rows.map(Some).collect(),
        max_before: Int64Array::from(before),
        from: None,
    }
}

fn run(name: &str, kind: WindowKind, per_second: i64, total: i64, w1: bool) {
    let float = Some(DataType::Float64);
    let int = DataType::Int64;
    let mut aggregates = vec![
        ("n".to_owned(), aggregate(F::Count, false, None, int.clone())),
        ("avg".to_owned(), aggregate(F::Avg, false, float.clone(), DataType::Float64)),
        ("max".to_owned(), aggregate(F::Max, false, float.clone(), DataType::Float64)),
    ];
    if w1 {
        aggregates.extend([
            ("min".to_owned(), aggregate(F::Min, false, float.clone(), DataType::Float64)),
            ("stddev".to_owned(), aggregate(F::StddevPop, false, float, DataType::Float64)),
            ("errors".to_owned(), aggregate(F::Count, false, None, int.clone())),
            ("users".to_owned(), aggregate(F::Count, true, Some(DataType::Utf8), int)),
        ]);
    }
    let spec = WindowSpec {
        kind,
        output: OutputMode::Append,
        trigger_us: None,
        allowed_lateness_us: 0,
        key_names: vec!["key".into()],
        key_types: vec![DataType::Utf8],
        aggregates,
    };
    let window = Arc::new(Window::new(spec).expect("the specification is right"));
    for _ in 0..3 {
        let mut state = window.state(Shard::WHOLE);
        let (mut combine, mut merge, mut fire) = (0, 0, 0);
        let (mut results, mut late, mut most) = (0, 0, 0);
        let (mut latest, mut watermark) = (NO_TIME, NO_TIME);
        for first in (0..total).step_by(usize::try_from(BATCH).unwrap_or(1)) {
            let input = batch(first, per_second, w1);
            let time = PartitionTime {
                max_before_chunk: latest,
                delay_us: DELAY,
                pipeline_watermark: watermark,
            };
            let watch = cpu_ns();
            let combined = window.combine(&input, &time).expect("combine");
            combine += cpu_ns() - watch;
            late += combined.late.len();
            let watch = cpu_ns();
            state.merge(&combined.partial).expect("merge");
            merge += cpu_ns() - watch;
            most = most.max(state.memory_bytes());
            latest = latest.max(arrow::compute::max(&input.time).unwrap_or(NO_TIME));
            watermark = latest - DELAY;
            let end = first + BATCH >= total;
            let watch = cpu_ns();
            let fired = state.advance(if end { i64::MAX } else { watermark }, 0).expect("advance");
            fire += cpu_ns() - watch;
            results += fired.iter().map(|f| f.batch.num_rows()).sum::<usize>();
        }
        let per = |nanos: i64| nanos as f64 / total as f64;
        println!(
            "{name}: combine {:.0} + merge {:.0} + fire {:.0} = {:.0} ns a row; {results} results, {late} late, {} MB",
            per(combine),
            per(merge),
            per(fire),
            per(combine + merge + fire),
            most >> 20,
        );
    }
}

fn main() {
    run("w1", WindowKind::Tumbling { size_us: 60_000_000, offset_us: 0 }, 1_000, 1 << 20, true);
    let sliding = WindowKind::Sliding { size_us: 300_000_000, slide_us: 60_000_000, offset_us: 0 };
    run("w2", sliding, 1_000, 1 << 20, false);
}
