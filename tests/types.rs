//! What must not be possible does not compile: the messages of the compiler are pinned in `compile_fail/`.
//!
//! One case a way around the order of a run. Each names only public items, as a caller of the library would.
//! After a change of the pinned compiler, `TRYBUILD=overwrite cargo test --test types` writes the messages anew;
//! read the difference before committing it.

#[test]
fn wrong_orders_do_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
