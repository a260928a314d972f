//! A parser that describes itself badly.

#![cfg(target_arch = "wasm32")]

fn during_describe(descriptor: &mut Descriptor) {
    descriptor.config_schema = "not JSON".into();
}

include!("../src/parser_body.rs");
