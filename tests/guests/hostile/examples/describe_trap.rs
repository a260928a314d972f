//! A parser that traps in `describe`.

#![cfg(target_arch = "wasm32")]

fn during_describe(_: &mut Descriptor) {
    misbehave("TRAP");
}

include!("../src/parser_body.rs");
