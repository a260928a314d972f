//! Access logs of Apache and nginx in the combined format.

use super::fields::Request;
use super::plan::Plan;
use super::random::Draw;
use super::settings::Format;
use super::timeline::Event;
use super::write;

const REFERRERS: [&str; 5] = [
    "-",
    "-",
    "https://www.example.org/",
    "https://shop.example.org/items?page=2",
    "https://search.example.com/?q=streams",
];

/// Appends a row. A malformed one is cut off in the middle.
pub(super) fn write_row(
    out: &mut Vec<u8>,
    plan: &Plan,
    event: &Event,
    request: &Request,
    malformed: bool,
    draw: &mut Draw,
) {
    let start = out.len();
    write::address(out, request.address);
    out.extend_from_slice(b" - ");
    match request.user {
        Some(user) if draw.below(8) == 0 => {
            out.extend_from_slice(b"user_");
            write::at_least::<4>(out, user);
        }
        _ => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    write::access_log_time(out, event.time_us);
    out.extend_from_slice(b"] \"");
    out.extend_from_slice(request.method.as_bytes());
    out.extend_from_slice(b" /");
    // The service is the first part of the path: "auth-service" is "/auth".
    let service = usize::try_from(request.service)
        .ok()
        .and_then(|index| plan.services.get(index))
        .map_or("", String::as_str);
    out.extend_from_slice(service.strip_suffix("-service").unwrap_or(service).as_bytes());
    request.write_path(out);
    out.extend_from_slice(b" HTTP/1.1\" ");
    write::unsigned(out, request.status);
    out.push(b' ');
    let empty = matches!(request.status, 204 | 304);
    match (empty, plan.format) {
        (true, Format::NginxCombined) => out.push(b'0'),
        (true, _) => out.push(b'-'),
        (false, _) => write::unsigned(out, 200 + draw.low(60_000)),
    }
    out.extend_from_slice(b" \"");
    out.extend_from_slice(draw.pick(&REFERRERS).as_bytes());
    out.extend_from_slice(b"\" \"");
    out.extend_from_slice(request.agent.as_bytes());
    out.push(b'"');
    if malformed {
        // Within the request: after the time, before the status.
        let middle = out.iter().skip(start).position(|byte| *byte == b'"').unwrap_or(0);
        out.truncate(start + middle + 3);
    }
}
