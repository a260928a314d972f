//! Millstream as its users meet it: pipeline files run by the binary, real plugins, real files.
//!
//! | file | what it shows |
//! | --- | --- |
//! | `log_analytics` | every query of the reference system equals Spark's answer |
//! | `access_log` | a real access log: rejects, status counts, late rows by delay |
//! | `windows` | exact goldens of tumbling and sliding windows |
//! | `anomalies` | the windowed-Gaussian rule reproduces NAB's scores |
//! | `siblings` | the reference queries on generated data, judged by a plain model (`model`, `made`) |
//! | `matrix` | every window kind: workers, partitions, epoch cuts, against a plain model |
//! | `replay` | recorded epochs run again give the same bytes |
//! | `checkpoints` | from files to files: killed at every step, fenced, damaged, started again |
//! | `kept_format` | checkpoints of every format ever written can still be read |
//! | `faults` | on a real Kafka: every fault once, every place of a commit; an oracle judges |
//! | `outputs` | revisions, update and complete mode, triggers, folders, the generator as a source |
//! | `pipelines` | the shipped pipeline files and their own tests |
//! | `admin` | metrics and health over HTTP |
//! | `run` | ends, signals, overrides, exit codes, bad input |
//! | `hostile` | plugins that do everything wrong, in whole pipelines |
//! | `kafka` | sources, sinks and commits against a real Apache Kafka |
//! | `ui` | what is said about pipelines that cannot run |
//! | `third_party` | a plugin written outside this repository |

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test a missing value is a failure"
)]

mod access_log;
mod admin;
mod anomalies;
mod checkpoints;
mod faults;
mod hostile;
mod kafka;
mod kept_format;
mod log_analytics;
mod made;
mod matrix;
mod model;
mod outputs;
mod pipelines;
mod replay;
mod run;
mod siblings;
mod support;
mod third_party;
mod ui;
mod windows;
