//! Mean and deviation of a window that moves on in steps, without keeping its values.
//!
//! The window is a whole number of steps, so it loses and gains whole blocks of `step` values. A
//! block needs only its count, mean and sum of squared differences; blocks are put together by the
//! formula of Chan, Golub and LeVeque. That is 16 bytes a block, 1 KB for 6,400 values in steps of
//! 100, and no worse in rounding than two passes over the values.

use std::collections::VecDeque;

use millstream_sdk::prelude::*;

/// Count, mean and sum of squared differences from it (Welford).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    count: u32,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / f64::from(self.count);
        self.squares += delta * (value - self.mean);
    }

    fn merge(self, other: Self) -> Self {
        if self.count == 0 {
            return other;
        }
        let (a, b) = (f64::from(self.count), f64::from(other.count));
        let delta = other.mean - self.mean;
        Self {
            count: self.count + other.count,
            mean: self.mean + delta * b / (a + b),
            squares: self.squares + other.squares + delta * delta * a * b / (a + b),
        }
    }

    /// The population standard deviation.
    fn deviation(self) -> f64 {
        (self.squares / f64::from(self.count)).sqrt()
    }
}

/// What is remembered of a key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The distribution in force.
    total: Moments,
    /// Mean and squares of each whole block of the window, oldest first.
    blocks: VecDeque<(f64, f64)>,
    /// Values that do not make a block yet.
    open: Moments,
}

impl Window {
    /// Values the distribution is made from.
    pub fn count(&self) -> u32 {
        self.total.count
    }

    /// Mean and deviation; nothing before the first value.
    pub fn figures(&self) -> Option<(f64, f64)> {
        (self.total.count > 0).then(|| (self.total.mean, self.total.deviation()))
    }

    /// Takes a value in. While the window fills, it counts at once; then, `step` at a time.
    pub fn add(&mut self, value: f64, window: u32, step: u32) {
        let full = self.total.count >= window;
        if !full {
            self.total.add(value);
        }
        self.open.add(value);
        if self.open.count < step {
            return;
        }
        self.blocks.push_back((self.open.mean, self.open.squares));
        self.open = Moments::default();
        if full {
            self.blocks.pop_front();
            let block = |(mean, squares): &(f64, f64)| Moments {
                count: step,
                mean: *mean,
                squares: *squares,
            };
            self.total = self.blocks.iter().map(block).fold(Moments::default(), Moments::merge);
        }
    }
}
