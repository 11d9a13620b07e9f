//! The standard normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// `P(Z ≤ x)`.
pub fn normal_cdf(x: f64) -> f64 {
    if x.is_nan() {
        f64::NAN
    } else if x > 0.0 {
        1.0 - upper_tail(x)
    } else {
        upper_tail(-x)
    }
}

/// The `x` with `P(Z ≤ x) = p`; infinite at 0 and 1, NaN outside.
///
/// Starts from Abramowitz and Stegun 26.2.23 (error below 4.5e-4); each of the three Halley steps on the tail
/// probability triples the number of correct digits.
pub fn normal_quantile(p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    // 1 − p is exact for p ≥ ½, so the smaller tail is never rounded away.
    if p > 0.5 {
        return -lower_quantile(1.0 - p);
    }
    lower_quantile(p)
}

fn lower_quantile(p: f64) -> f64 {
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    if p == 0.5 {
        return 0.0;
    }
    let t = (-2.0 * p.ln()).sqrt();
    let mut x = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)));
    for _ in 0..3 {
        let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
        let newton = (upper_tail(x) - p) / density;
        x += newton / (1.0 - 0.5 * x * newton);
    }
    -x
}

/// `P(Z > x)` for `x ≥ 0`: a power series of the error function near 0 (DLMF 7.6.2), a continued fraction beyond
/// (DLMF 7.9.3, by the method of Lentz).
fn upper_tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - upper_tail(-x);
    }
    if x < 3.0 {
        let square = x * x;
        let (mut term, mut sum, mut k) = (x, x, 1.0);
        while term > sum * 1e-17 {
            k += 2.0;
            term *= square / k;
            sum += term;
        }
        return 0.5 - sum * (-0.5 * square).exp() / (2.0 * PI).sqrt();
    }
    if x > 40.0 {
        return 0.0;
    }
    // erfc(z)·e^{z²}·√π = 1/(z + ½/(z + 1/(z + (3/2)/(z + …)))), evaluated from the inside.
    let z = x / SQRT_2;
    let fraction = (1..=120).rev().fold(z, |below, k| z + 0.5 * k as f64 / below);
    0.5 * (-z * z).exp() / (PI.sqrt() * fraction)
}
