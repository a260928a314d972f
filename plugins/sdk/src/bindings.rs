//! The contract of `wit/v0.1`, as Rust. Nothing here is written by hand.
//!
//! One module an interface, each with a world of its own, because the names of the export macros
//! are global in a crate. A plugin carries the worlds whose macros it uses; the encoder joins
//! them, and the result is a world of `plugin.wit`: `meta` + `parser` is `parser-plugin`, and so on.

/// The shared types and the only import.
pub mod shared {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "
            package millstream:sdk;
            world shared {
                import millstream:plugin/types@0.1.0;
                import millstream:plugin/host-log@0.1.0;
            }
        ",
        world: "millstream:sdk/shared",
        runtime_path: "::millstream_sdk::wit_bindgen::rt",
        additional_derives: [PartialEq],
        generate_unused_types: true,
        generate_all,
    });
}

/// What a plugin says of itself.
pub mod meta {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "
            package millstream:sdk;
            world exports-meta {
                export millstream:plugin/meta@0.1.0;
            }
        ",
        world: "millstream:sdk/exports-meta",
        pub_export_macro: true,
        export_macro_name: "export_meta_interface",
        default_bindings_module: "millstream_sdk::bindings::meta",
        runtime_path: "::millstream_sdk::wit_bindgen::rt",
    });
    pub use exports::millstream::plugin::meta::*;
}

/// Bytes to rows.
pub mod parser {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "
            package millstream:sdk;
            world exports-parser {
                export millstream:plugin/parser@0.1.0;
            }
        ",
        world: "millstream:sdk/exports-parser",
        pub_export_macro: true,
        export_macro_name: "export_parser_interface",
        default_bindings_module: "millstream_sdk::bindings::parser",
        runtime_path: "::millstream_sdk::wit_bindgen::rt",
        with: {
            "millstream:plugin/types@0.1.0": super::shared::millstream::plugin::types,
        },
    });
    pub use exports::millstream::plugin::parser::*;
}

/// Rows to rows.
pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "
            package millstream:sdk;
            world exports-transform {
                export millstream:plugin/transform@0.1.0;
            }
        ",
        world: "millstream:sdk/exports-transform",
        pub_export_macro: true,
        export_macro_name: "export_transform_interface",
        default_bindings_module: "millstream_sdk::bindings::transform",
        runtime_path: "::millstream_sdk::wit_bindgen::rt",
        with: {
            "millstream:plugin/types@0.1.0": super::shared::millstream::plugin::types,
        },
    });
    pub use exports::millstream::plugin::transform::*;
}

/// Rows and state by key to annotated rows, alerts and state.
pub mod rule {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "
            package millstream:sdk;
            world exports-rule {
                export millstream:plugin/rule@0.1.0;
            }
        ",
        world: "millstream:sdk/exports-rule",
        pub_export_macro: true,
        export_macro_name: "export_rule_interface",
        default_bindings_module: "millstream_sdk::bindings::rule",
        runtime_path: "::millstream_sdk::wit_bindgen::rt",
        with: {
            "millstream:plugin/types@0.1.0": super::shared::millstream::plugin::types,
        },
    });
    pub use exports::millstream::plugin::rule::*;
}

/// State of an older version.
pub mod migrate {
    wit_bindgen::generate!({
        path: "../../wit/v0.1",
        inline: "
            package millstream:sdk;
            world exports-migrate {
                export millstream:plugin/migrate@0.1.0;
            }
        ",
        world: "millstream:sdk/exports-migrate",
        pub_export_macro: true,
        export_macro_name: "export_migrate_interface",
        default_bindings_module: "millstream_sdk::bindings::migrate",
        runtime_path: "::millstream_sdk::wit_bindgen::rt",
        with: {
            "millstream:plugin/types@0.1.0": super::shared::millstream::plugin::types,
        },
    });
    pub use exports::millstream::plugin::migrate::*;
}

pub use shared::millstream::plugin::{host_log, types};
