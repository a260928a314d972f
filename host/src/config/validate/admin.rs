//! `[admin]`.

use std::net::SocketAddr;

use super::keys::{Context, Owner};
use crate::admin::{NOT_LOOPBACK, NOT_LOOPBACK_HELP, may_listen};
use crate::config::model;
use crate::config::wire::{self, Key};
use crate::diag::Diagnostic;

impl Context<'_> {
    pub fn admin(&mut self, key: Key<wire::Admin>) -> Option<Option<model::Admin>> {
        let Some(field) = key else { return Some(None) };
        let owner = Owner { path: "admin".into(), span: field.span };
        let listen =
            self.required(field.value?.listen, "listen", "listen = \"127.0.0.1:9187\"", &owner)?;
        let (told, help) = match listen.value.parse::<SocketAddr>() {
            Ok(address) if may_listen(&address) => {
                return Some(Some(model::Admin { listen: address }));
            }
            Ok(address) => (format!("{address} is refused: {NOT_LOOPBACK}"), NOT_LOOPBACK_HELP),
            Err(_) => (
                format!("{:?} is not an address with a port", listen.value),
                "for example \"127.0.0.1:9187\"",
            ),
        };
        self.push(Diagnostic::error(told).at(listen.span).help(help));
        None
    }
}
