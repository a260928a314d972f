//! A parser whose `describe` does not end.

fn during_describe(_: &mut Descriptor) {
    misbehave("LOOP");
}

include!("../src/parser_body.rs");
