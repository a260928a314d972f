//! How a cluster is reached: brokers, encryption, user, further settings.

use std::ops::Range;
use std::path::PathBuf;

use serde_json::Value;

use super::{Typed, span};
use crate::config::model::{KafkaConnection, Located, Property, Sasl, Secret, Tls};
use crate::config::validate::keys::{Context, Owner, given};
use crate::config::wire::{self, Entries, Field, Json, Key};
use crate::diag::Diagnostic;
use crate::kafka::settings::{self, Role};

impl Context<'_> {
    pub(super) fn connection(
        &mut self,
        brokers: Key<String>,
        security: Key<wire::Security>,
        properties: Key<Entries<Json>>,
        role: Role,
        owner: &Owner,
    ) -> Option<KafkaConnection> {
        let brokers = self
            .required(brokers, "brokers", "brokers = \"localhost:9092\"", owner)
            .and_then(|brokers| self.brokers(brokers));
        let security = match security {
            None => Some((None, None)),
            key => given(key).and_then(|field| {
                let owner = owner.inner("security", &field.span);
                self.security(field.value, &owner)
            }),
        };
        let properties = self.properties(properties, role, owner);
        let (tls, sasl) = security?;
        Some(KafkaConnection { brokers: brokers?, tls, sasl, properties: properties? })
    }

    /// Checks that each of the brokers is a host and a port.
    fn brokers(&mut self, brokers: Located<String>) -> Option<Located<String>> {
        let Located { value, span } = brokers;
        let hosts: Vec<&str> = value.split(',').map(str::trim).collect();
        let bad = hosts.iter().find(|host| {
            let port = host.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            port.is_none_or(|(_, port)| port.parse::<u16>().is_err()) || host.contains("://")
        });
        if let Some(bad) = bad {
            self.push(
                Diagnostic::error(format!("{bad:?} is not a broker"))
                    .at(span)
                    .label("must be a host and a port")
                    .help("write brokers = \"kafka-1:9092,kafka-2:9092\"; encryption goes into `security`"),
            );
            return None;
        }
        Some(Located { value: hosts.join(","), span })
    }

    fn security(
        &mut self,
        typed: wire::Security,
        owner: &Owner,
    ) -> Option<(Option<Tls>, Option<Sasl>)> {
        let on = self.or(typed.tls, false);
        let mut fits = Some(());
        if on == Some(false) {
            let (why, help) = ("without encryption", "set tls = true");
            for refused in [
                self.refuse(&typed.ca, "ca", why, help),
                self.refuse(&typed.certificate, "certificate", why, help),
                self.refuse(&typed.key, "key", why, help),
                self.refuse(&typed.key_password, "key_password", why, help),
                self.refuse(&typed.verify, "verify", why, help),
            ] {
                fits = fits.and(refused);
            }
        }
        let ca = self.optional_path(typed.ca, "ca");
        let pair = if typed.certificate.is_some() || typed.key.is_some() {
            let certificate = self.required(
                typed.certificate,
                "certificate",
                "certificate = \"client.pem\"",
                owner,
            );
            let key = self.required(typed.key, "key", "key = \"client.key\"", owner);
            let certificate = certificate.and_then(|path| self.path("certificate", path));
            let key = key.and_then(|path| self.path("key", path));
            certificate.zip(key).map(|(certificate, key)| Some((certificate.value, key.value)))
        } else {
            Some(None)
        };
        let key_password = self.optional_secret(typed.key_password, "key_password", owner);
        let verify = self.or(typed.verify, true);
        let sasl =
            if typed.mechanism.is_some() || typed.username.is_some() || typed.password.is_some() {
                self.sasl(typed.mechanism, typed.username, typed.password, owner).map(Some)
            } else {
                Some(None)
            };
        fits?;
        let tls = Tls { ca: ca?, certificate: pair?, key_password: key_password?, verify: verify? };
        Some((on?.then_some(tls), sasl?))
    }

    fn sasl(
        &mut self,
        mechanism: Key<wire::Mechanism>,
        username: Key<String>,
        password: Key<wire::SecretOrText>,
        owner: &Owner,
    ) -> Option<Sasl> {
        let mechanism =
            self.required(mechanism, "mechanism", "mechanism = \"SCRAM-SHA-512\"", owner);
        let username = self.required(username, "username", "username = \"millstream\"", owner);
        let example = "password = { env = \"KAFKA_PASSWORD\" }";
        let password = self.required(password, "password", example, owner).and_then(|password| {
            let owner = owner.inner("password", &password.span);
            self.secret_or_text(password.value, &owner)
        });
        Some(Sasl {
            mechanism: match mechanism?.value {
                wire::Mechanism::Plain => "PLAIN",
                wire::Mechanism::ScramSha256 => "SCRAM-SHA-256",
                wire::Mechanism::ScramSha512 => "SCRAM-SHA-512",
            },
            username: username?.value,
            password: password?,
        })
    }

    fn optional_path(&mut self, key: Key<String>, name: &str) -> Typed<PathBuf> {
        if key.is_none() {
            return Some(None);
        }
        self.path(name, given(key)?).map(|path| Some(path.value))
    }

    fn optional_secret(
        &mut self,
        key: Key<wire::SecretOrText>,
        name: &str,
        owner: &Owner,
    ) -> Typed<Secret> {
        if key.is_none() {
            return Some(None);
        }
        let secret = given(key)?;
        self.secret_or_text(secret.value, &owner.inner(name, &secret.span)).map(Some)
    }

    fn secret_or_text(&mut self, typed: wire::SecretOrText, owner: &Owner) -> Option<Secret> {
        match typed {
            wire::SecretOrText::Secret(secret) => self.secret(secret, owner),
            wire::SecretOrText::Text(_) => {
                self.plain_secret(&owner.path);
                None
            }
        }
    }

    /// Refuses a secret that stands in the file, without showing it: so without its line.
    fn plain_secret(&mut self, path: &str) {
        self.push(
            Diagnostic::error(format!("`{path}` stands in the file, where secrets must not stand"))
                .help("write { env = \"NAME\" } or { file = \"path\" } in its place"),
        );
    }

    fn secret(&mut self, typed: wire::Secret, owner: &Owner) -> Option<Secret> {
        let spans = [("env", span(&typed.env)), ("file", span(&typed.file))];
        let alone = self.at_most_one(owner, &spans);
        let secret = if typed.file.is_some() {
            given(typed.file)
                .and_then(|file| self.path("file", file))
                .map(|f| Secret::File(f.value))
        } else {
            let env = self.required(typed.env, "env", "env = \"KAFKA_PASSWORD\"", owner);
            env.and_then(|env| self.filled("env", env)).map(|env| Secret::Env(env.value))
        };
        secret.filter(|_| alone)
    }

    fn properties(
        &mut self,
        key: Key<Entries<Json>>,
        role: Role,
        owner: &Owner,
    ) -> Option<Vec<(String, Property)>> {
        if key.is_none() {
            return Some(Vec::new());
        }
        let field = given(key)?;
        let owner = owner.inner("properties", &field.span);
        let mut all = Some(Vec::new());
        for (name, field) in field.value.0 {
            let property = match field.value {
                Some(Json(value)) => self.property(&name.text, value, &field.span, role, &owner),
                None => None,
            };
            match (property, &mut all) {
                (Some(property), Some(all)) => all.push((name.text, property)),
                (Some(_), None) => {}
                (None, _) => all = None,
            }
        }
        all
    }

    /// Checks one setting of librdkafka: not ours to decide, known, of the right kind.
    fn property(
        &mut self,
        name: &str,
        value: Value,
        span: &Range<usize>,
        role: Role,
        owner: &Owner,
    ) -> Option<Property> {
        let place = owner.inner(&crate::config::tree::quoted(name), span);
        let text = match value {
            Value::String(text) => text,
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Object(mut table) => {
                let mut part = |key: &str| {
                    let value = table.remove(key)?;
                    let value = value.as_str().map(str::to_owned);
                    Some(Field { span: span.clone(), value })
                };
                let typed = wire::Secret { env: part("env"), file: part("file") };
                let unknown = table.keys().next().cloned();
                let secret = self.secret(typed, &place);
                if let Some(key) = unknown {
                    self.push(
                        Diagnostic::error(format!("unknown key `{key}` in `{}`", place.path))
                            .at(span.clone())
                            .help("known keys: `env`, `file`"),
                    );
                    return None;
                }
                return self.owned(name, None, span, role)?.then_some(Property::Secret(secret?));
            }
            _ => {
                self.push(
                    Diagnostic::error(format!("`{}` is not a setting's value", place.path))
                        .at(span.clone())
                        .help("write a text, a number or a boolean"),
                );
                return None;
            }
        };
        if !self.owned(name, Some(&text), span, role)? {
            return None;
        }
        if settings::is_secret(name) {
            self.plain_secret(&place.path);
            return None;
        }
        if let Err(fault) = settings::check_property(name, &text) {
            self.push(
                Diagnostic::error(format!("librdkafka refuses `{name}`"))
                    .at(span.clone())
                    .label(fault)
                    .help("its settings: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md"),
            );
            return None;
        }
        Some(Property::Text(text))
    }

    /// Refuses settings that are ours to decide. Returns true when it is the user's.
    fn owned(
        &mut self,
        name: &str,
        value: Option<&str>,
        span: &Range<usize>,
        role: Role,
    ) -> Option<bool> {
        let Some(remedy) = settings::ours(name, value, role) else { return Some(true) };
        self.push(
            Diagnostic::error(format!("`{name}` cannot be set by `properties`"))
                .at(span.clone())
                .help(remedy),
        );
        None
    }
}
