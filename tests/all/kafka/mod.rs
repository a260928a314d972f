//! Against a real Apache Kafka, which the first of these tests starts on a free loopback port.

mod authority;
mod broker;
mod sink;
mod source;
