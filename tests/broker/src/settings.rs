//! What a broker is told.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Ports on loopback.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// For clients, without security.
    pub plain: u16,
    /// For clients that prove who they are: SASL, user and password.
    pub sasl: u16,
    /// For the node itself.
    pub controller: u16,
}

/// A node: where it listens, where its data is, what differs from the usual.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's folder: data, properties and log.
    pub folder: PathBuf,
    /// Where it listens.
    pub ports: Ports,
    /// Further broker properties.
    pub properties: Vec<(String, String)>,
}

/// The user that the SASL listener knows.
pub const SASL_USER: &str = "alice";
/// Her password.
pub const SASL_PASSWORD: &str = "wonderland";

impl Settings {
    /// Returns a node on free ports.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn free(folder: &Path) -> Result<Self> {
        let ports = Ports { plain: free_port()?, sasl: free_port()?, controller: free_port()? };
        Ok(Self { folder: folder.to_owned(), ports, properties: Vec::new() })
    }

    /// Returns a node on three ports from `port` on.
    pub fn at(folder: &Path, port: u16) -> Self {
        let next = |step: u16| port.saturating_add(step);
        let ports = Ports { plain: port, controller: next(1), sasl: next(2) };
        Self { folder: folder.to_owned(), ports, properties: Vec::new() }
    }

    /// Returns where clients connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// Returns the broker's properties file.
    ///
    /// The session timeout makes a restart after `kill -9` take two seconds instead of twelve; the
    /// sweep interval does the same for transactions that time out.
    pub fn properties(&self) -> String {
        let Ports { plain, sasl, controller } = self.ports;
        let data = self.folder.join("data");
        let mut text = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl}\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT\n\
             inter.broker.listener.name=PLAINTEXT\n\
             sasl.enabled.mechanisms=PLAIN\n\
             listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{SASL_USER}=\"{SASL_PASSWORD}\";\n\
             controller.listener.names=CONTROLLER\n\
             controller.quorum.bootstrap.servers=127.0.0.1:{controller}\n\
             log.dirs={}\n\
             offsets.topic.replication.factor=1\n\
             offsets.topic.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=4\n\
             transaction.abort.timed.out.transaction.cleanup.interval.ms=1000\n\
             transaction.max.timeout.ms=900000\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n\
             auto.create.topics.enable=false\n\
             broker.session.timeout.ms=600\n\
             broker.heartbeat.interval.ms=200\n",
            data.display()
        );
        for (key, value) in &self.properties {
            text.push_str(&format!("{key}={value}\n"));
        }
        text
    }
}

/// Returns a port on loopback that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port")?;
    Ok(listener.local_addr().context("read the free port")?.port())
}
