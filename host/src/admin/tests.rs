//! What is answered, and where.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use super::*;
use crate::metrics::Metrics;

fn get(admin: &Admin, path: &str) -> String {
    let mut stream = TcpStream::connect(admin.address()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn start(address: &str) -> Result<(Admin, Arc<Health>), AdminError> {
    let (metrics, health) = (Arc::new(Metrics::new().unwrap()), Arc::new(Health::default()));
    let admin = Admin::start(address.parse().unwrap(), metrics, Arc::clone(&health))?;
    Ok((admin, health))
}

#[test]
fn it_answers_and_ends() {
    let (admin, health) = start("127.0.0.1:0").unwrap();
    for (readiness, expected) in
        [(Readiness::Starting, "503"), (Readiness::Running, "200"), (Readiness::Stopping, "503")]
    {
        health.set(readiness);
        let answer = get(&admin, "/readyz");
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{readiness:?}: {answer}");
        assert!(get(&admin, "/livez").starts_with("HTTP/1.1 200"));
    }
    let answer = get(&admin, "/metrics");
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\nmillstream_input_records_total 0\n"), "{answer}");
    assert!(get(&admin, "/other").starts_with("HTTP/1.1 404"));
    let address = admin.address();
    drop(admin);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn it_listens_to_this_machine_alone() {
    let error = start("0.0.0.0:0").unwrap_err();
    assert!(error.to_string().contains("0.0.0.0:0 is refused"), "{error}");
    assert!(error.help().unwrap().contains("127.0.0.1"));
    let (admin, _) = start("127.0.0.1:0").unwrap();
    let error = start(&admin.address().to_string()).unwrap_err();
    assert!(error.to_string().starts_with("cannot listen on"), "{error}");
    assert!(error.help().unwrap().contains("another process"));
}
