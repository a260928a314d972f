//! Against a real Apache Kafka, which the first of these tests starts on a free loopback port.

mod broker;
mod source;
