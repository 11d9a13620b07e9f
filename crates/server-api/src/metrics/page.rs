//! Counters and histograms of a server, from its `/metrics` page: the text format of Prometheus (version 0.0.4) and of OpenMetrics,
//! as much of it as the figures of servers need.
//!
//! It is tolerant: a line that is no sample is passed over and counted, because one odd line must not hide the other thousand.

/// The largest page that is read, bytes.
pub const LARGEST: usize = 64 << 20;

/// One line of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    /// In the order of the page.
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// A page at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    pub samples: Vec<Sample>,
    /// Lines that are neither samples nor comments.
    pub odd_lines: usize,
}

impl Page {
    /// Reads a page; bytes that are not UTF-8 are replaced, what lies beyond [`LARGEST`] is left out.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LARGEST)]);
        let mut page = Self::default();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match sample(line) {
                Some(sample) => page.samples.push(sample),
                None => page.odd_lines += 1,
            }
        }
        page
    }

    /// The sum of all samples of a name, over all their labels (engines, models); None without one. A name of a counter is found with
    /// and without `_total`.
    pub fn sum(&self, name: &str) -> Option<f64> {
        let is_it = |of: &str| of == name || of.strip_suffix("_total") == Some(name);
        let values: Vec<f64> =
            self.samples.iter().filter(|sample| is_it(&sample.name)).map(|sample| sample.value).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, mut rest) = line.split_at(end);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
    if name.is_empty() || !name.chars().all(is_name) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mut all = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        (all, rest) = labels(inner)?;
    }
    // A time stamp and an exemplar may follow.
    let value = number(rest.split_whitespace().next()?)?;
    Some(Sample { name: name.to_owned(), labels: all, value })
}

/// Labels up to the brace, and what follows it.
fn labels(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((all, after));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start())?;
        all.push((name.trim().to_owned(), value));
        let after = after.trim_start();
        rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        if !after.starts_with([',', '}']) {
            return None;
        }
    }
}

/// A string in quotes with the escapes `\\`, `\"` and `\n`, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let text = text.strip_prefix('"')?;
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" | "Nan" => Some(f64::NAN),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: &str = r#"# HELP vllm:prompt_tokens_total Number of prefill tokens processed.
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="a,b}\"c"} 120.0
vllm:prompt_tokens_total{engine="1",model_name="x"} 3e1
# TYPE vllm:ttft histogram
vllm:ttft_bucket{le="0.1",engine="0"} 1
vllm:ttft_bucket{le="+Inf",engine="0"} 4
vllm:ttft_bucket{le="1.0",engine="0"} 3
vllm:ttft_sum{engine="0"} 5.0
vllm:ttft_count{engine="0"} 4 1700000000 # {trace_id="x"} 1
llamacpp:requests_processing 0
plain_nan NaN
what is this
"#;

    #[test]
    fn a_page_by_hand() {
        let page = Page::parse(PAGE.as_bytes());
        assert_eq!((page.samples.len(), page.odd_lines), (9, 1));
        assert_eq!(page.samples[0].label("model_name"), Some("a,b}\"c"));
        assert_eq!((page.sum("vllm:prompt_tokens"), page.sum("vllm:prompt_tokens_total")), (Some(150.0), Some(150.0)));
        assert_eq!((page.sum("llamacpp:requests_processing"), page.sum("nothing")), (Some(0.0), None));
        let bounds = page.samples.iter().filter_map(|sample| Some((sample.label("le")?, sample.value)));
        assert_eq!(bounds.collect::<Vec<_>>(), [("0.1", 1.0), ("+Inf", 4.0), ("1.0", 3.0)]);
        assert_eq!(page.sum("vllm:ttft_count"), Some(4.0), "without its time stamp and exemplar");
    }

    #[test]
    fn lines_that_are_no_samples() {
        for bad in [
            "name",
            "name{a=\"b\" 1",
            "name{a=b} 1",
            "name{a=\"b\"c} 1",
            "1name 2",
            "na-me 2",
            "name x",
            "name{a=\"b} 1",
            "{} 1",
        ] {
            assert_eq!(sample(bad), None, "{bad}");
        }
        assert_eq!(sample("name{ a = \"b\" , } 1").unwrap().labels, [("a".to_owned(), "b".to_owned())]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..700) {
            let page = Page::parse(&bytes);
            for sample in &page.samples {
                let _ = page.sum(&sample.name);
            }
            let _ = Page::parse(&PAGE.as_bytes()[..cut.min(PAGE.len())]);
        }
    }
}
