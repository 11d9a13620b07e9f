//! Pages of `/metrics`: whatever they are, they are read without a panic, and what is read can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use server_api::metrics::{self, Page};

fuzz_target!(|bytes: &[u8]| {
    let page = Page::parse(bytes);
    for sample in &page.samples {
        let _ = page.sum(&sample.name);
    }
    let _ = metrics::of(&page);
});
