//! How much memory the process uses and has used.

/// Returns the most memory the process has had in use so far (resident set), in bytes.
///
/// None where the system does not tell, or tells nonsense.
pub fn peak_memory_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Returns how much memory the process has in use (resident set), in bytes.
///
/// None where the system does not tell, or tells nonsense.
pub fn memory_bytes() -> Option<u64> {
    parse(&std::fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Returns what a line as `VmHWM:     61234 kB` says.
fn parse(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key))?;
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
            assert_eq!(parse(status, "VmHWM:"), expected, "{status:?}");
        }
        let peak = peak_memory_bytes().unwrap();
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20 && peak > 1 << 20));
    }
}
