//! A parser whose `describe` does not end.

#![cfg(target_arch = "wasm32")]

fn during_describe(_: &mut Descriptor) {
    misbehave("LOOP");
}

include!("../src/parser_body.rs");
