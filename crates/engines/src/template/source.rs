//! Source that jinja2 accepts, made into source that minijinja reads the same way.

/// The filter that stands for `%` behind a string literal.
pub(super) const PERCENT: &str = "__percent";

/// Rewrites a template's source; what is not valid stays as it is, so that the parser reports it.
pub(super) fn prepare(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}
