//! The few requests that are needed without a client: "are you there", "make a topic", and an offset
//! with a text that no client would write.
//!
//! Kafka's protocol: a length, then API key, version, correlation id and client id, then the body;
//! integers are big-endian, texts have a 16-bit length.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

const METADATA: i16 = 3;
const CREATE_TOPICS: i16 = 19;
const OFFSET_COMMIT: i16 = 8;
const TIMEOUT: Duration = Duration::from_secs(5);

/// Returns true when a broker at `address` knows itself to be part of a cluster.
pub fn answers(address: &str) -> bool {
    // No topics, please.
    let Ok(answer) = call(address, METADATA, 1, &0i32.to_be_bytes()) else { return false };
    // Correlation id, then the number of brokers.
    answer.get(4..8).is_some_and(|count| count != [0; 4])
}

/// Makes a topic; one that is there already is left as it is.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub fn create_topic(address: &str, name: &str, partitions: i32) -> Result<()> {
    let mut body = Vec::new();
    body.extend(1i32.to_be_bytes());
    text(&mut body, name)?;
    body.extend(partitions.to_be_bytes());
    body.extend(1i16.to_be_bytes());
    // No assignments, no settings.
    body.extend(0i32.to_be_bytes());
    body.extend(0i32.to_be_bytes());
    body.extend(5_000i32.to_be_bytes());
    // Not only validate.
    body.push(0);
    let answer = call(address, CREATE_TOPICS, 2, &body)?;
    // Correlation id, throttle time, number of topics, name, error code.
    let at = 4 + 4 + 4 + 2 + name.len();
    let code = answer.get(at..at + 2).and_then(|code| code.try_into().ok()).map(i16::from_be_bytes);
    match code {
        Some(0 | TOPIC_ALREADY_EXISTS) => Ok(()),
        Some(code) => bail!("cannot create topic `{name}`: the broker answers with error {code}"),
        None => bail!("cannot create topic `{name}`: the broker's answer is too short"),
    }
}

const TOPIC_ALREADY_EXISTS: i16 = 36;

/// Commits an offset for a group without members, with any bytes as its text.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub fn commit_offset(
    address: &str,
    group: &str,
    topic: (&str, i32),
    offset: i64,
    metadata: &[u8],
) -> Result<()> {
    let mut body = Vec::new();
    text(&mut body, group)?;
    // No generation, no member, the broker's retention.
    body.extend((-1i32).to_be_bytes());
    text(&mut body, "")?;
    body.extend((-1i64).to_be_bytes());
    body.extend(1i32.to_be_bytes());
    text(&mut body, topic.0)?;
    body.extend(1i32.to_be_bytes());
    body.extend(topic.1.to_be_bytes());
    body.extend(offset.to_be_bytes());
    body.extend(i16::try_from(metadata.len()).context("the text is too long")?.to_be_bytes());
    body.extend(metadata);
    let answer = call(address, OFFSET_COMMIT, 2, &body)?;
    // Correlation id, number of topics, name, number of partitions, partition, error code.
    let at = 4 + 4 + 2 + topic.0.len() + 4 + 4;
    match answer.get(at..at + 2) {
        Some([0, 0]) => Ok(()),
        code => bail!("cannot commit an offset of `{}`: {code:?}", topic.0),
    }
}

fn text(out: &mut Vec<u8>, text: &str) -> Result<()> {
    out.extend(i16::try_from(text.len()).context("the text is too long")?.to_be_bytes());
    out.extend(text.as_bytes());
    Ok(())
}

/// Sends one request and returns the answer without its length.
fn call(address: &str, api: i16, version: i16, body: &[u8]) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    request.extend(api.to_be_bytes());
    request.extend(version.to_be_bytes());
    request.extend(1i32.to_be_bytes());
    text(&mut request, "millstream-broker")?;
    request.extend(body);
    let address: SocketAddr = address.parse().context("the broker's address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).context("reach the broker")?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(&u32::try_from(request.len())?.to_be_bytes())?;
    stream.write_all(&request)?;
    let mut length = [0u8; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0u8; usize::try_from(u32::from_be_bytes(length))?.min(1 << 20)];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
