//! The progress bar of `millstream run`, on terminals only.

use std::io::{self, Write};

use indicatif::{ProgressBar as Bar, ProgressDrawTarget, ProgressStyle};

use crate::engine::Engine;
use crate::sources::{Progress, ProgressUnit};

/// A bar while the input's size is known, a spinner with counts otherwise.
pub struct ProgressBar {
    bar: Option<Bar>,
    styled: Option<bool>,
}

impl ProgressBar {
    /// Returns a bar that shows itself only when `visible`.
    pub fn new(visible: bool) -> Self {
        let bar = visible.then(|| {
            let bar = Bar::no_length();
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            bar
        });
        Self { bar, styled: None }
    }

    /// Shows how far the engine is.
    pub fn update(&mut self, engine: &Engine) {
        let Some(bar) = &self.bar else { return };
        let progress = total(&engine.progress());
        let sized = progress.total.is_some();
        if self.styled != Some(sized) {
            self.styled = Some(sized);
            let template = match (sized, progress.unit) {
                (true, ProgressUnit::Bytes) => {
                    "{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}"
                }
                (true, ProgressUnit::Rows) => "{bar:32} {human_pos}/{human_len} rows {eta} {msg}",
                (false, _) => "{spinner} {elapsed} {msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
        }
        bar.set_length(progress.total.unwrap_or(0));
        bar.set_position(progress.done);
        let stats = engine.owner().stats();
        let alerts: u64 = stats.nodes.iter().flat_map(|node| node.alerts.values()).sum();
        bar.set_message(format!("{} records, {alerts} alerts", stats.records));
    }

    /// Returns `to` as a writer that takes the bar away while it writes. What is written must end
    /// with a line's end.
    pub fn beside(&self, to: impl Write + Send + 'static) -> Box<dyn Write + Send> {
        match &self.bar {
            Some(bar) => Box::new(Beside { bar: bar.clone(), to }),
            None => Box::new(to),
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A writer to the terminal that shows a bar. Without it the bar would wipe out the last lines.
struct Beside<W> {
    bar: Bar,
    to: W,
}

impl<W: Write> Write for Beside<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bar.suspend(|| {
            self.to.write_all(bytes)?;
            self.to.flush()
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Adds sources up; without a total when one has none, or when they count different things.
fn total(sources: &[Progress]) -> Progress {
    let mut sum = Progress { total: Some(0), ..sources.first().copied().unwrap_or_default() };
    sum.done = 0;
    for source in sources {
        let same = source.unit == sum.unit;
        sum.done += source.done;
        sum.total = sum.total.zip(source.total).filter(|_| same).map(|(a, b)| a + b);
    }
    sum
}
