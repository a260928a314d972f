//! The macros that export a plugin. They expand to nothing on other targets than WebAssembly,
//! so that plugins are unit-tested as plain Rust.

#[doc(hidden)]
#[macro_export]
macro_rules! __descriptor {
    ($description:expr) => {{
        use $crate::bindings::meta as wit;
        let description = $description;
        wit::Descriptor {
            name: description.name.to_owned(),
            version: description.version.to_owned(),
            summary: description.summary.to_owned(),
            config_schema: description.config_schema.to_owned(),
            reject_codes: description
                .rejects
                .iter()
                .map(|code| wit::RejectCode {
                    name: code.name.to_owned(),
                    meaning: code.meaning.to_owned(),
                })
                .collect(),
            state_version: description.state_version,
            samples: description
                .samples
                .into_iter()
                .map(|sample| wit::Sample {
                    note: sample.note,
                    config: sample.config,
                    input: sample.input,
                    expected: sample.expected,
                })
                .collect(),
        }
    }};
}

#[doc(hidden)]
#[macro_export]
macro_rules! __instance {
    ($host:ty) => {
        ::std::thread_local! {
            static INSTANCE: ::core::cell::RefCell<Option<$host>> =
                const { ::core::cell::RefCell::new(None) };
        }

        fn with_instance<T>(
            call: impl FnOnce(&$host) -> Result<T, $crate::Fault>,
        ) -> Result<T, $crate::Fault> {
            INSTANCE.with_borrow(|instance| match instance {
                Some(instance) => call(instance),
                None => Err($crate::Fault::Internal("called before configure".into())),
            })
        }
    };
}

/// Exports a [`Parser`](crate::Parser): `export_parser!(MyParser);`
#[macro_export]
macro_rules! export_parser {
    ($parser:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, clippy::all, clippy::pedantic, missing_docs)]
        mod __millstream {
            use super::*;
            use $crate::bindings::{meta, parser as world};
            use $crate::bindings::types;

            struct Exported;
            $crate::__instance!($crate::parser::ParserHost<$parser>);

            impl meta::Guest for Exported {
                fn describe() -> meta::Descriptor {
                    $crate::__descriptor!(
                        $crate::parser::describe::<$parser>(env!("CARGO_PKG_VERSION"))
                    )
                }
            }

            impl world::Guest for Exported {
                fn configure(config: String) -> Result<Vec<types::Field>, types::Fault> {
                    let host = $crate::parser::ParserHost::configure(&config)?;
                    let schema = host.schema().clone();
                    INSTANCE.set(Some(host));
                    Ok(schema)
                }

                fn parse(
                    records: types::TextBuffer,
                    received_us: Vec<i64>,
                ) -> Result<world::Parsed, types::Fault> {
                    with_instance(|host| host.parse(&records, &received_us))
                }
            }

            $crate::bindings::meta::export_meta_interface!(
                Exported with_types_in $crate::bindings::meta
            );
            $crate::bindings::parser::export_parser_interface!(
                Exported with_types_in $crate::bindings::parser
            );
        }
    };
}

/// Exports a [`Transform`](crate::Transform): `export_transform!(MyTransform);`
#[macro_export]
macro_rules! export_transform {
    ($transform:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, clippy::all, clippy::pedantic, missing_docs)]
        mod __millstream {
            use super::*;
            use $crate::bindings::{meta, transform as world};
            use $crate::bindings::types;

            struct Exported;
            $crate::__instance!($crate::transform::TransformHost<$transform>);

            impl meta::Guest for Exported {
                fn describe() -> meta::Descriptor {
                    $crate::__descriptor!(
                        $crate::transform::describe::<$transform>(env!("CARGO_PKG_VERSION"))
                    )
                }
            }

            impl world::Guest for Exported {
                fn configure(
                    config: String,
                    input: Vec<types::Field>,
                ) -> Result<Vec<types::Field>, types::Fault> {
                    let host = $crate::transform::TransformHost::configure(&config, input)?;
                    let schema = host.schema().clone();
                    INSTANCE.set(Some(host));
                    Ok(schema)
                }

                fn apply(
                    input: types::Table,
                ) -> Result<world::Transformed, types::Fault> {
                    with_instance(|host| host.apply(&input))
                }
            }

            $crate::bindings::meta::export_meta_interface!(
                Exported with_types_in $crate::bindings::meta
            );
            $crate::bindings::transform::export_transform_interface!(
                Exported with_types_in $crate::bindings::transform
            );
        }
    };
}

/// Exports a [`Rule`](crate::Rule): `export_rule!(MyRule);`, or
/// `export_rule!(MyRule, migrates);` when it reads state of older versions.
#[macro_export]
macro_rules! export_rule {
    ($rule:ty) => {
        $crate::__rule_exports!($rule, {});
    };
    ($rule:ty, migrates) => {
        $crate::__rule_exports!($rule, {
            impl $crate::bindings::migrate::Guest for Exported
            {
                fn migrate_state(
                    from_version: u32,
                    states: types::TextBuffer,
                ) -> Result<types::TextBuffer, types::Fault> {
                    $crate::rule::migrate::<$rule>(from_version, &states)
                }
            }

            $crate::bindings::migrate::export_migrate_interface!(
                Exported with_types_in $crate::bindings::migrate
            );
        });
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __rule_exports {
    ($rule:ty, {$($migrate:tt)*}) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, clippy::all, clippy::pedantic, missing_docs)]
        mod __millstream {
            use super::*;
            use $crate::bindings::{meta, rule as world};
            use $crate::bindings::types;

            struct Exported;
            $crate::__instance!($crate::rule::RuleHost<$rule>);

            impl meta::Guest for Exported {
                fn describe() -> meta::Descriptor {
                    $crate::__descriptor!(
                        $crate::rule::describe::<$rule>(env!("CARGO_PKG_VERSION"))
                    )
                }
            }

            impl world::Guest for Exported {
                fn configure(
                    config: String,
                    input: Vec<types::Field>,
                ) -> Result<world::Plan, types::Fault> {
                    let host = $crate::rule::RuleHost::configure(&config, input)?;
                    let plan = host.plan();
                    INSTANCE.set(Some(host));
                    Ok(plan)
                }

                fn evaluate(
                    call: world::RuleCall,
                ) -> Result<world::Outcome, types::Fault> {
                    with_instance(|host| host.evaluate(&call))
                }
            }

            $crate::bindings::meta::export_meta_interface!(
                Exported with_types_in $crate::bindings::meta
            );
            $crate::bindings::rule::export_rule_interface!(
                Exported with_types_in $crate::bindings::rule
            );

            $($migrate)*
        }
    };
}
