// SPDX-License-Identifier: Apache-2.0

//! Compiles anew when a migration is added: the macro that embeds them sees only those it knows.

fn main() {
    println!("cargo::rerun-if-changed=src/store/migrations");
}
