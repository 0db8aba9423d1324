//! Links the library so that one file loads under every C library.

#[path = "../../crates/preload/link.rs"]
mod link;

fn main() {
    println!("cargo:rerun-if-changed=../../crates/preload/link.rs");
    link::preloaded();
}
