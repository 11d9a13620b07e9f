//! The logarithm of the gamma function and the error of Stirling's formula.

use std::f64::consts::PI;

/// Coefficients `B(2k) / (2k·(2k−1))` of the Stirling series, DLMF 5.11.1, with the Bernoulli numbers of DLMF 24.2.
const STIRLING: [f64; 8] = [
    1.0 / 12.0,
    -1.0 / 360.0,
    1.0 / 1260.0,
    -1.0 / 1680.0,
    1.0 / 1188.0,
    -691.0 / 360360.0,
    1.0 / 156.0,
    -3617.0 / 122400.0,
];

/// From here on the eight terms of the series are exact to the last bits.
const ASYMPTOTIC: f64 = 12.0;

/// `ln Γ(x)` for `x > 0`; NaN elsewhere.
///
/// Stirling's series above 12; below, the recurrence `Γ(x + 1) = x·Γ(x)` carries `x` there.
pub fn ln_gamma(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 {
        return f64::NAN;
    }
    let mut product = 1.0;
    let mut large = x;
    while large < ASYMPTOTIC {
        product *= large;
        large += 1.0;
    }
    (large - 0.5) * large.ln() - large + 0.5 * (2.0 * PI).ln() + series(large) - product.ln()
}

/// `ln Γ(x + 1) − (x + ½)·ln x + x − ½·ln 2π` for `x > 0`: what Stirling's formula leaves out.
///
/// It lets densities of large arguments be computed without subtracting large logarithms (Loader 2000, "Fast and
/// accurate computation of binomial probabilities").
pub(super) fn stirling_error(x: f64) -> f64 {
    if x >= ASYMPTOTIC { series(x) } else { ln_gamma(x + 1.0) - (x + 0.5) * x.ln() + x - 0.5 * (2.0 * PI).ln() }
}

fn series(x: f64) -> f64 {
    let square = 1.0 / (x * x);
    STIRLING.iter().rev().fold(0.0, |sum, coefficient| sum * square + coefficient) / x
}
