//! A real Apache Kafka for tests, demo and benches: one KRaft node on loopback.
//!
//! [`install`] fetches the broker's jars from Maven Central into a folder, once; [`Broker`] formats
//! a data folder, starts a node and can kill it. Nothing here knows librdkafka: the few requests
//! that are needed without a client are written by hand in [`request`].

mod broker;
mod install;
pub mod request;
mod settings;

pub use broker::{Broker, format_once, java, terminate, wait_until_ready};
pub use install::{Kafka, VERSION, install};
pub use settings::{Ports, SASL_PASSWORD, SASL_USER, Settings, free_port};
