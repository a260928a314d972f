//! User events, a JSON object a line, with the time in milliseconds.

use super::fields::address_of;
use super::plan::Plan;
use super::random::{Draw, nth};
use super::settings::IncidentKind;
use super::timeline::Event;
use super::write;

const ACTIONS: [&str; 8] =
    ["click", "click", "click", "view", "view", "search", "purchase", "login"];

/// Appends a row. A malformed one is cut off in the middle. Returns the incident it belongs to.
pub(super) fn write_row(
    out: &mut Vec<u8>,
    plan: &Plan,
    event: &Event,
    malformed: bool,
    draw: &mut Draw,
) -> Option<usize> {
    let start = out.len();
    let index = event.stream.checked_sub(1).and_then(|index| usize::try_from(index).ok());
    let incident = index.and_then(|index| plan.incidents.get(index));
    // A flood is one user from one address; a scanner is one address as all users.
    let user = match incident.map(|incident| incident.kind) {
        Some(IncidentKind::Ddos) => 0,
        Some(_) => event.number % plan.users,
        None => draw.low(plan.users),
    };
    let address =
        incident.map_or_else(|| address_of(user, draw.below(8) == 0), |incident| incident.address);
    out.extend_from_slice(b"{\"timestamp\":");
    write::signed(out, event.time_us.div_euclid(1000));
    out.extend_from_slice(b",\"user_id\":\"user_");
    write::at_least::<3>(out, user);
    out.extend_from_slice(b"\",\"action\":\"");
    let action = match incident.map(|incident| incident.kind) {
        Some(IncidentKind::Scanner) => "login",
        _ => nth(&ACTIONS, draw.below(8)),
    };
    out.extend_from_slice(action.as_bytes());
    out.extend_from_slice(b"\",\"value\":");
    if draw.below(1000) < 3 {
        out.extend_from_slice(b"null");
    } else {
        write::thousandths(out, draw.below(100_000));
    }
    out.extend_from_slice(b",\"session_id\":\"session_");
    // A session lasts half an hour at most.
    let half_hour = event.time_us.div_euclid(1_800_000_000);
    write::hex::<8>(out, super::random::mix(user ^ half_hour.cast_unsigned().rotate_left(32)));
    out.extend_from_slice(b"\",\"ip_address\":\"");
    write::address(out, address);
    out.extend_from_slice(b"\"}");
    if malformed {
        out.truncate(start + (out.len() - start) / 2);
    }
    incident.and(index)
}
