//! The contract as Rust types, generated from `wit/`.
//!
//! One world that has everything, so that all kinds of plugins share the types; each kind loads
//! only its own interfaces. Parameters borrow: Arrow buffers are handed over as they are.

wasmtime::component::bindgen!({
    path: "../wit/v0.1",
    inline: "
        package millstream:host;
        world everything {
            import millstream:plugin/host-log@0.1.0;
            export millstream:plugin/meta@0.1.0;
            export millstream:plugin/parser@0.1.0;
            export millstream:plugin/transform@0.1.0;
            export millstream:plugin/rule@0.1.0;
            export millstream:plugin/migrate@0.1.0;
        }
    ",
    world: "millstream:host/everything",
    ownership: Borrowing { duplicate_if_necessary: true },
});
