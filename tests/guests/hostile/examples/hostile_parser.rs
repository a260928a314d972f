//! A parser that does what each record says.

fn during_describe(_: &mut Descriptor) {}

include!("../src/parser_body.rs");
