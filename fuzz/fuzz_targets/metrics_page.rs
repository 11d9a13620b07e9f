//! Pages of `/metrics`: whatever they are, they are read without a panic, and what is read can be used.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loadgen::serving::prometheus::Page;

fuzz_target!(|bytes: &[u8]| {
    let page = Page::parse(bytes);
    for sample in &page.samples {
        let _ = page.sum(&sample.name);
        let name = sample.name.trim_end_matches("_bucket");
        if let Some(histogram) = page.histogram(name) {
            let _ = (histogram.mean(), histogram.quantile_within(0.99), histogram.since(Some(&histogram)));
        }
    }
});
