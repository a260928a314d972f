//! The benchmark record.
//!
//! Defined so that anybody can make the same bytes: event i (from 0) steps the xorshift64 stream
//! `z` (13, 7, 17) once and has `ts = T0 + i - (z mod 5000)` milliseconds, and all its fields are
//! parts of `z`. With a share of late rows, those with `(z >> 40) mod 10000 < share * 10000` have
//! 60 seconds taken off their `ts`.

use super::write;

/// The first state of `z`, before the first step.
pub(super) const SEED: u64 = 88_172_645_463_325_252;

/// `T0` in microseconds since the Unix epoch.
pub(super) const START_US: i64 = 1_700_000_000_000_000;

/// How much later a late row is.
const LATE_MS: i64 = 60_000;

/// The stream of records.
#[derive(Clone, Debug)]
pub(super) struct RecordJ {
    z: u64,
    start_ms: i64,
    number: u64,
    /// Late rows in ten thousand.
    late: u64,
}

impl RecordJ {
    pub fn new(seed: u64, start_us: i64, late_share: f64) -> Self {
        Self {
            // The state 0 would stay 0.
            z: if seed == 0 { SEED } else { seed },
            start_ms: start_us.div_euclid(1000),
            number: 0,
            late: super::cast::to_u64((late_share * 10_000.0 + 0.5).floor()),
        }
    }

    /// Steps over one record.
    #[inline]
    pub fn step(&mut self) {
        self.z ^= self.z << 13;
        self.z ^= self.z >> 7;
        self.z ^= self.z << 17;
        self.number += 1;
    }

    /// Appends the next record and returns whether it is late.
    pub fn write_row(&mut self, out: &mut Vec<u8>) -> bool {
        let i = i64::try_from(self.number).unwrap_or(i64::MAX);
        self.step();
        let z = self.z;
        let late = (z >> 40) % 10_000 < self.late;
        let disorder = i64::try_from(z % 5000).unwrap_or(0);
        let ts = self.start_ms.saturating_add(i) - disorder - if late { LATE_MS } else { 0 };
        let failed = z.is_multiple_of(16);
        out.extend_from_slice(b"{\"ts\":");
        write::signed(out, ts);
        out.extend_from_slice(b",\"service\":\"svc-");
        write::padded::<3>(out, z % 100);
        out.extend_from_slice(b"\",\"level\":\"");
        out.extend_from_slice(if failed { b"ERROR" } else { b"INFO" });
        out.extend_from_slice(b"\",\"user\":\"u");
        write::padded::<6>(out, z % 100_000);
        out.extend_from_slice(b"\",\"ip\":\"10.");
        write::unsigned(out, z >> 8 & 255);
        out.push(b'.');
        write::unsigned(out, z >> 16 & 255);
        out.push(b'.');
        write::unsigned(out, z >> 24 & 255);
        out.extend_from_slice(b"\",\"method\":\"GET\",\"path\":\"/api/v1/items/");
        write::unsigned(out, z % 5000);
        out.extend_from_slice(b"\",\"status\":");
        out.extend_from_slice(if failed { b"500" } else { b"200" });
        out.extend_from_slice(b",\"latency_ms\":");
        write::thousandths(out, (z >> 20 & 65_535) * 10);
        out.extend_from_slice(b",\"bytes\":");
        write::unsigned(out, z >> 30 & 65_535);
        out.extend_from_slice(b",\"msg\":\"request served\"}");
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition again, written with the formatting machinery.
    fn naive(count: i64, late: u64) -> String {
        let mut z = SEED;
        let mut text = String::new();
        for i in 0..count {
            z ^= z << 13;
            z ^= z >> 7;
            z ^= z << 17;
            let delay = if (z >> 40) % 10_000 < late { 60_000 } else { 0 };
            let ts = 1_700_000_000_000 + i - i64::try_from(z % 5000).unwrap() - delay;
            let (level, status) = if z.is_multiple_of(16) { ("ERROR", 500) } else { ("INFO", 200) };
            text += &format!(
                "{{\"ts\":{ts},\"service\":\"svc-{:03}\",\"level\":\"{level}\",\"user\":\"u{:06}\",\
                 \"ip\":\"10.{}.{}.{}\",\"method\":\"GET\",\"path\":\"/api/v1/items/{}\",\
                 \"status\":{status},\"latency_ms\":{:.3},\"bytes\":{},\"msg\":\"request served\"}}\n",
                z % 100,
                z % 100_000,
                z >> 8 & 255,
                z >> 16 & 255,
                z >> 24 & 255,
                z % 5000,
                (z >> 20 & 65_535) as f64 / 100.0,
                z >> 30 & 65_535,
            );
        }
        text
    }

    #[test]
    fn follows_its_definition() {
        for (share, late) in [(0.0, 0), (0.01, 100)] {
            let mut records = RecordJ::new(SEED, START_US, share);
            let mut out = Vec::new();
            let mut late_rows = 0;
            for _ in 0..20_000 {
                late_rows += u32::from(records.write_row(&mut out));
                out.push(b'\n');
            }
            assert!(String::from_utf8(out.clone()).unwrap() == naive(20_000, late));
            let mean = out.len() / 20_000;
            assert!((205..=209).contains(&mean), "mean length {mean}");
            assert!((late_rows == 0) == (late == 0) && late_rows < 260, "{late_rows}");
        }
    }
}
