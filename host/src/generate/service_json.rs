//! Service logs, a JSON object a line.

use super::fields::Request;
use super::plan::Plan;
use super::random::Draw;
use super::timeline::Event;
use super::write;

/// What a malformed row gets wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is cut off.
    Cut,
    /// It has no time.
    NoTimestamp,
    /// Its status is a word.
    WordStatus,
}

/// Appends a row.
pub(super) fn write_row(
    out: &mut Vec<u8>,
    plan: &Plan,
    event: &Event,
    request: &Request,
    fault: Option<Fault>,
    draw: &mut Draw,
) {
    let start = out.len();
    out.push(b'{');
    if fault != Some(Fault::NoTimestamp) {
        out.extend_from_slice(b"\"timestamp\":\"");
        write::rfc3339_ms(out, event.time_us);
        out.extend_from_slice(b"\",");
    }
    let failed = request.status >= 500;
    let refused = request.status >= 400;
    let slow = request.response_us.is_some_and(|us| us > 1_000_000);
    let level: &str = match (failed, refused || slow, draw.below(16)) {
        (true, ..) => "ERROR",
        (_, true, _) => "WARN",
        (_, _, 0) => "DEBUG",
        _ => "INFO",
    };
    text(out, "\"level\":\"", level);
    let service = usize::try_from(request.service)
        .ok()
        .and_then(|index| plan.services.get(index))
        .map_or("", String::as_str);
    text(out, "\",\"service\":\"", service);
    let message = match (failed, refused, slow, draw.below(400)) {
        (true, ..) => "request failed",
        (_, true, ..) => "request refused",
        (_, _, true, _) => "slow request",
        (_, _, _, 0) => "gr\u{fc}\u{df} dich, \u{4e16}\u{754c}",
        (_, _, _, 1) => "said \\\"hello\\\"\\tand left \\u2713",
        _ => "ok",
    };
    text(out, "\",\"message\":\"", message);
    out.extend_from_slice(b"\",\"ip_address\":\"");
    write::address(out, request.address);
    match request.user {
        Some(user) => {
            out.extend_from_slice(b"\",\"user_id\":\"user_");
            write::at_least::<4>(out, user);
            out.push(b'"');
        }
        None if draw.below(2) == 0 => out.extend_from_slice(b"\",\"user_id\":null"),
        None => out.push(b'"'),
    }
    out.extend_from_slice(b",\"request_id\":\"req-");
    write::hex::<10>(out, draw.next());
    out.push(b'"');
    if let Some(us) = request.response_us {
        out.extend_from_slice(b",\"response_time\":");
        write::thousandths(out, us);
    }
    out.extend_from_slice(b",\"status_code\":");
    if fault == Some(Fault::WordStatus) {
        out.extend_from_slice(b"\"unknown\"");
    } else {
        write::unsigned(out, request.status);
    }
    match error_code(request.status) {
        Some(code) => {
            text(out, ",\"error_code\":\"", code);
            out.push(b'"');
        }
        None if draw.below(2) == 0 => out.extend_from_slice(b",\"error_code\":null"),
        None => {}
    }
    text(out, ",\"method\":\"", request.method);
    out.extend_from_slice(b"\",\"url\":\"");
    request.write_path(out);
    text(out, "\",\"user_agent\":\"", request.agent);
    out.extend_from_slice(b"\",\"received_at\":\"");
    write::rfc3339_ms(out, event.arrival_us);
    out.extend_from_slice(b"\"}");
    if fault == Some(Fault::Cut) {
        out.truncate(start + (out.len() - start) / 2);
    }
}

fn text(out: &mut Vec<u8>, before: &str, value: &str) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn error_code(status: u64) -> Option<&'static str> {
    Some(match status {
        400 => "BAD_REQUEST",
        401 => "UNAUTHORIZED",
        403 => "FORBIDDEN",
        404 => "NOT_FOUND",
        429 => "TOO_MANY_REQUESTS",
        500 => "INTERNAL",
        502 => "BAD_GATEWAY",
        503 => "UNAVAILABLE",
        504 => "TIMEOUT",
        _ => return None,
    })
}
