//! A parser that traps in `describe`.

fn during_describe(_: &mut Descriptor) {
    misbehave("TRAP");
}

include!("../src/parser_body.rs");
