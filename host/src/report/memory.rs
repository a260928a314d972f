//! How much memory the process has used.

/// Returns the most memory the process has had in use so far (resident set), in bytes.
///
/// None where the system does not tell, or tells nonsense.
pub fn peak_memory_bytes() -> Option<u64> {
    parse_peak(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// Returns what the line `VmHWM:     61234 kB` says.
fn parse_peak(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_line() {
        for (status, expected) in [
            ("Name:\tx\nVmPeak:\t 99 kB\nVmHWM:\t   61234 kB\nVmRSS:\t 1 kB\n", Some(62_703_616)),
            ("VmHWM:\t1 MB\n", None),
            ("VmHWM:\tmany kB\n", None),
            ("Name:\tx\n", None),
            ("", None),
        ] {
            assert_eq!(parse_peak(status), expected, "{status:?}");
        }
        assert!(peak_memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
    }
}
