//! What rows of all formats are made of.

use super::plan::Plan;
use super::random::{Draw, mix, nth};
use super::settings::IncidentKind;
use super::timeline::Event;

/// A request to a service, before it is written in some format.
#[derive(Debug)]
pub(super) struct Request {
    pub service: u64,
    pub address: u32,
    /// None: nobody is logged in.
    pub user: Option<u64>,
    pub method: &'static str,
    pub path: &'static str,
    /// A number in the path, which then goes on with `path_end`.
    pub path_id: Option<u64>,
    pub path_end: &'static str,
    pub agent: &'static str,
    pub status: u64,
    /// Thousandths of a millisecond; none: unknown.
    pub response_us: Option<u64>,
    /// The incident that shaped it.
    pub incident: Option<usize>,
}

const AGENTS: [&str; 8] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "okhttp/4.12",
    "curl/8.5.0",
    "python-requests/2.32.5",
    "Go-http-client/2.0",
];

/// Path, whether a number follows, and what follows the number.
const PATHS: [(&str, bool, &str); 10] = [
    ("/", false, ""),
    ("/login", false, ""),
    ("/items/", true, ""),
    ("/orders/", true, "/items"),
    ("/search", false, ""),
    ("/users/", true, ""),
    ("/cart", false, ""),
    ("/pay", false, ""),
    ("/reports/", true, "/download"),
    ("/logout", false, ""),
];

const SCANNED: [&str; 12] = [
    "/.git/config",
    "/.env",
    "/wp-login.php",
    "/admin",
    "/phpmyadmin/",
    "/backup.zip",
    "/server-status",
    "/actuator/env",
    "/api/v1/debug",
    "/cgi-bin/test",
    "/config.json",
    "/shell.php",
];

/// Status and how many of a thousand requests end with it.
const STATUSES: [(u64, u64); 8] =
    [(500, 8), (503, 5), (404, 32), (401, 12), (400, 8), (201, 80), (204, 45), (304, 50)];

impl Request {
    /// Makes the request of an event.
    pub fn new(plan: &Plan, event: &Event, draw: &mut Draw) -> Self {
        let services = u64::try_from(plan.services.len()).unwrap_or(1);
        let flood = event.stream.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        if let Some((index, incident)) =
            flood.and_then(|index| Some((index, plan.incidents.get(index)?)))
        {
            let scanner = incident.kind == IncidentKind::Scanner;
            return Self {
                service: if scanner { event.number % services } else { 0 },
                address: incident.address,
                user: if scanner { None } else { Some(draw.below(plan.users.min(3))) },
                method: "GET",
                path: if scanner { draw.pick(&SCANNED) } else { "/login" },
                path_id: None,
                path_end: "",
                agent: if scanner { "Mozilla/5.0 zgrab/0.x" } else { "python-requests/2.32.5" },
                status: match (scanner, draw.below(10)) {
                    (true, 0) => 403,
                    (true, 1) => 200,
                    (true, _) => 404,
                    (false, 0) => 429,
                    (false, _) => 200,
                },
                response_us: Some(response_us(1, draw)),
                incident: Some(index),
            };
        }
        let service = draw.low(services);
        let user = draw.low(plan.users);
        let anonymous = draw.below(1000) < 27;
        let (path, numbered, path_end) = draw.pick(&PATHS);
        let path_id = if numbered { Some(draw.below(5000)) } else { None };
        let mut request = Self {
            service,
            address: address_of(user, draw.below(8) == 0),
            user: if anonymous { None } else { Some(user) },
            method: nth(&["GET", "GET", "GET", "GET", "GET", "POST", "POST", "PUT"], draw.below(8)),
            path,
            path_id,
            path_end,
            agent: nth(&AGENTS, mix(user) & 7),
            status: status(draw.below(1000)),
            response_us: Some(response_us(service, draw)),
            incident: None,
        };
        let unknown_response = draw.below(1000) < 6;
        let fails = draw.next();
        for (index, incident) in plan.incidents.iter().enumerate() {
            let here = incident.service == Some(service)
                && (incident.start_us..incident.end_us).contains(&event.time_us);
            match incident.kind {
                IncidentKind::LatencyShift if here => {
                    let base = request.response_us.unwrap_or(0);
                    request.response_us = Some(scaled(base, incident.strength));
                    request.incident = Some(index);
                }
                IncidentKind::ErrorSpike
                    if here && fails < super::random::threshold(incident.strength) =>
                {
                    request.status = nth(&[500, 502, 503, 504], fails & 3);
                    request.incident = Some(index);
                }
                _ => {}
            }
        }
        if unknown_response && request.incident.is_none() {
            request.response_us = None;
        }
        request
    }

    /// Appends the path.
    pub fn write_path(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.path.as_bytes());
        if let Some(id) = self.path_id {
            super::write::unsigned(out, id);
            out.extend_from_slice(self.path_end.as_bytes());
        }
    }
}

/// Returns the address of a user, at home or elsewhere.
pub(super) fn address_of(user: u64, elsewhere: bool) -> u32 {
    let bits = mix(user.wrapping_mul(2).wrapping_add(u64::from(elsewhere)).wrapping_add(0x1991));
    (10 << 24) | u32::try_from(bits & 0x00ff_ffff).unwrap_or(0)
}

fn status(mut lot: u64) -> u64 {
    for (status, share) in STATUSES {
        if lot < share {
            return status;
        }
        lot -= share;
    }
    200
}

/// A bell around the service's own mean of 20 to 200 ms, with a tail.
fn response_us(service: u64, draw: &mut Draw) -> u64 {
    let mean_us = 20_000 + mix(service.wrapping_add(7)) % 180_000;
    let bell = 400 + draw.below(400) + draw.below(400) + draw.below(400);
    let tail = if draw.below(100) == 0 { 4 } else { 1 };
    mean_us * bell / 1000 * tail
}

fn scaled(value: u64, factor: f64) -> u64 {
    let value = super::cast::to_f64(i64::try_from(value).unwrap_or(i64::MAX));
    super::cast::to_u64(value * factor)
}
