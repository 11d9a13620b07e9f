//! Inversion of a monotone function.

/// The `x` in `[low, high]` where the decreasing function `f` crosses zero, to about 1e-14 of itself.
///
/// Newton's step where it stays inside the bracket, the middle of the bracket otherwise.
pub(super) fn decreasing(
    mut low: f64,
    mut high: f64,
    start: f64,
    f: impl Fn(f64) -> f64,
    slope: impl Fn(f64) -> f64,
) -> f64 {
    let mut x = start;
    for _ in 0..200 {
        let value = f(x);
        if value > 0.0 {
            low = x;
        } else {
            high = x;
        }
        let newton = x - value / slope(x);
        let next = if newton > low && newton < high { newton } else { 0.5 * (low + high) };
        if value == 0.0 {
            return x;
        }
        // Newton's steps square the error: after one of 1e-9 the next would be lost in rounding.
        if (next - x).abs() <= 1e-9 * x.abs() && next == newton {
            return next;
        }
        if high - low <= 1e-15 * x.abs() {
            return x;
        }
        x = next;
    }
    x
}
