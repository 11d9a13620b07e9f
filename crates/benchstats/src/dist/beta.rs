//! The regularized incomplete beta function and the distributions that are made of it: Student's t, F and the binomial.

use std::f64::consts::PI;

use super::gamma::stirling_error;
use super::normal::normal_quantile;
use super::root;

/// `I_x(a, b)` for `a, b > 0` and `x` in `[0, 1]`; NaN elsewhere.
pub fn regularized_beta(a: f64, b: f64, x: f64) -> f64 {
    if !(0.0..=1.0).contains(&x) {
        return f64::NAN;
    }
    incomplete(a, b, x, 1.0 - x)
}

/// `P(T ≤ t)` for Student's t with `df > 0` degrees of freedom (not necessarily whole).
pub fn student_t_cdf(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if t > 0.0 { 1.0 - student_t_tail(t, df) } else { student_t_tail(-t, df) }
}

/// The `t` with `P(T ≤ t) = p`; infinite at 0 and 1, NaN outside.
pub fn student_t_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if p == 0.5 {
        return 0.0;
    }
    // 1 − p is exact for p ≥ ½, so the smaller tail is never rounded away.
    let tail = p.min(1.0 - p);
    if tail == 0.0 {
        return f64::INFINITY.copysign(p - 0.5);
    }
    // Cornish-Fisher expansion about the normal quantile, Abramowitz and Stegun 26.7.5, two terms.
    let z = -normal_quantile(tail);
    let start = z + (z.powi(3) + z) / (4.0 * df) + (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * df * df);
    let mut high = start.max(1.0);
    while student_t_tail(high, df) > tail {
        if high > 1e300 {
            return f64::INFINITY.copysign(p - 0.5);
        }
        high *= 4.0;
    }
    let t =
        root::decreasing(0.0, high, start.min(high), |t| student_t_tail(t, df) - tail, |t| -student_t_density(t, df));
    t.copysign(p - 0.5)
}

/// `P(F ≤ x)` for the F distribution with `d1` and `d2` degrees of freedom.
pub fn f_cdf(x: f64, d1: f64, d2: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    let (part, rest) = f_parts(x.max(0.0), d1, d2);
    incomplete(d1 / 2.0, d2 / 2.0, part, rest)
}

/// `P(F > x)`, exact in the far tail too.
pub fn f_survival(x: f64, d1: f64, d2: f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    let (part, rest) = f_parts(x.max(0.0), d1, d2);
    incomplete(d2 / 2.0, d1 / 2.0, rest, part)
}

/// `P(X ≤ k)` for `X ~ Binomial(n, p)`: `I_{1−p}(n − k, k + 1)`, DLMF 8.17.5.
pub fn binomial_cdf(k: u64, n: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if k >= n {
        return 1.0;
    }
    incomplete((n - k) as f64, k as f64 + 1.0, 1.0 - p, p)
}

/// `P(X > k)` for `X ~ Binomial(n, p)`, exact in the far tail too.
pub fn binomial_survival(k: u64, n: u64, p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if k >= n {
        return 0.0;
    }
    incomplete(k as f64 + 1.0, (n - k) as f64, p, 1.0 - p)
}

/// `d1·x / (d1·x + d2)` and its complement.
fn f_parts(x: f64, d1: f64, d2: f64) -> (f64, f64) {
    if x == f64::INFINITY {
        return (1.0, 0.0);
    }
    let sum = d1 * x + d2;
    (d1 * x / sum, d2 / sum)
}

/// `P(T > t)` for `t ≥ 0`.
fn student_t_tail(t: f64, df: f64) -> f64 {
    let square = t * t;
    if square == f64::INFINITY {
        return 0.0;
    }
    let sum = df + square;
    0.5 * incomplete(df / 2.0, 0.5, df / sum, square / sum)
}

fn student_t_density(t: f64, df: f64) -> f64 {
    // Γ((df+1)/2)/Γ(df/2) through the beta density, which does not overflow: f(t) = density of I_x at x times |dx/dt| / 2.
    let sum = df + t * t;
    let (x, y) = (df / sum, t * t / sum);
    if y == 0.0 {
        // At the centre only the scale of the derivative matters; the normal density is within 21% of it.
        return 1.0 / (2.0 * PI).sqrt();
    }
    // d/dt [½·I_x(df/2, ½)] = ½·x^{a−1}·y^{−½}/B · dx/dt with dx/dt = −2·t·df/sum².
    let a = df / 2.0;
    front(a, 0.5, x, y) / (x * y) * (t * df / (sum * sum))
}

/// `I_x(a, b)` with `y = 1 − x` given apart, so that neither is rounded when the other is near 1.
fn incomplete(a: f64, b: f64, x: f64, y: f64) -> f64 {
    if !(a > 0.0 && b > 0.0) || x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 0.0;
    }
    if y <= 0.0 {
        return 1.0;
    }
    // The fraction converges fast left of the mean a/(a + b); right of it the mirrored one does.
    if x * (a + b + 2.0) < a + 1.0 {
        front(a, b, x, y) / (a * fraction(a, b, x))
    } else {
        1.0 - front(b, a, y, x) / (b * fraction(b, a, y))
    }
}

/// `x^a·y^b / B(a, b)` without large cancelling logarithms: the binomial density of Loader (2000) at real arguments.
fn front(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    let exponent = stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * x) - deviance(b, n * y);
    (a / n * b / (2.0 * PI)).sqrt() * exponent.exp()
}

/// `v·ln(v/m) + m − v`, by its series where `v ≈ m` (Loader 2000).
fn deviance(v: f64, m: f64) -> f64 {
    let difference = v - m;
    if difference.abs() >= 0.1 * (v + m) {
        return v * (v / m).ln() - difference;
    }
    let ratio = difference / (v + m);
    let square = ratio * ratio;
    let mut sum = difference * ratio;
    let mut power = 2.0 * v * ratio;
    // |ratio| < 0.1: each term adds two digits.
    for odd in (3..50).step_by(2) {
        power *= square;
        sum += power / f64::from(odd);
    }
    sum
}

/// The continued fraction of DLMF 8.17.22, by the modified method of Lentz. `O(√max(a, b))` terms.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let not_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 0.0);
    let mut value = 1.0;
    for k in 0..1_000_000_u32 {
        let m = f64::from(k / 2);
        // Coefficients d(2m) and d(2m+1) of DLMF 8.17.23, in their order of use: d(1), d(2), …
        let coefficient = if k % 2 == 0 {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        } else {
            let m = m + 1.0;
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        };
        d = 1.0 / not_zero(1.0 + coefficient * d);
        c = not_zero(1.0 + coefficient / c);
        let step = c * d;
        value *= step;
        if (step - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}
