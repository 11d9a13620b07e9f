//! Against values computed with mpmath 1.4 at 40 digits; the ones marked "table" also stand in the NIST/SEMATECH e-Handbook
//! of Statistical Methods, section 1.3.6.7 (critical values of t and F), to its three digits.

// The references are given as printed, one digit more than a double holds.
#![allow(clippy::excessive_precision)]

use proptest::prelude::*;

use super::*;

fn close(got: f64, want: f64, what: &str) {
    let scale = want.abs().max(1e-300);
    assert!((got - want).abs() <= 1e-11 * scale, "{what}: got {got:e}, want {want:e}");
}

#[test]
fn gamma() {
    for (x, want) in [
        (0.5, 0.57236494292470009),
        (2.5, 0.28468287047291916),
        (10.0, 12.80182748008147),
        (100.25, 360.28455963776423),
        (1e-5, 11.512919692895826),
    ] {
        close(ln_gamma(x), want, "ln_gamma");
    }
    assert!(ln_gamma(1.0).abs() < 1e-14);
    assert!(ln_gamma(-1.0).is_nan());
}

#[test]
fn beta() {
    for (a, b, x, want) in [
        (2.0, 3.0, 0.4, 0.5248),
        (0.5, 0.5, 0.1, 0.20483276469913345),
        (100.0, 200.0, 0.35, 0.73257146495754433),
        (50000.0, 500.0, 0.99, 0.40568573139589932),
        (1.0, 1.0, 0.3, 0.3),
    ] {
        close(regularized_beta(a, b, x), want, "I_x(a, b)");
    }
}

#[test]
fn student_t_quantiles() {
    for (p, df, want) in [
        (0.975, 1.0, 12.706204736174705),  // table: 12.706
        (0.975, 2.0, 4.3026527297494639),  // table: 4.303
        (0.975, 4.0, 2.7764451051977944),  // table: 2.776
        (0.975, 9.0, 2.2621571627982055),  // table: 2.262
        (0.975, 19.0, 2.0930240544083098), // table: 2.093
        (0.975, 29.0, 2.0452296421327043), // table: 2.045
        (0.95, 4.0, 2.1318467863266503),   // table: 2.132
        (0.999, 3.0, 10.214531852407387),  // table: 10.215
        (0.9975, 4.0, 5.597568367075459),
        (0.9975, 19.0, 3.1737245307923159),
        (0.975, 1000.0, 1.9623390808264085),
        (0.975, 2.5, 3.5746548420036832),
    ] {
        close(student_t_quantile(p, df), want, "t quantile");
        close(student_t_quantile(1.0 - p, df), -want, "t quantile, lower");
    }
    assert_eq!(student_t_quantile(0.5, 3.0), 0.0);
    assert_eq!(student_t_quantile(1.0, 3.0), f64::INFINITY);
    assert_eq!(student_t_quantile(0.0, 3.0), f64::NEG_INFINITY);
    assert!(student_t_quantile(1.5, 3.0).is_nan());
    assert!(student_t_quantile(0.9, 0.0).is_nan());
}

#[test]
fn student_t_probabilities() {
    for (t, df, want) in [
        (2.0, 5.0, 0.94903026058507082),
        (-1.5, 10.0, 0.08225366322272009),
        (0.001, 7.0, 0.50038499137750058),
        (-12.0, 4.0, 0.00013821427425148648),
        (-6.0, 200.0, 4.5575601744051927e-9),
    ] {
        close(student_t_cdf(t, df), want, "t cdf");
    }
    assert_eq!(student_t_cdf(f64::INFINITY, 2.0), 1.0);
}

#[test]
fn f_probabilities() {
    for (x, d1, d2, want) in [
        (4.0, 2.0, 10.0, 0.052922149401344646), // table: 5% at 4.103
        (3.0, 5.0, 24.0, 0.03048192413029423),
        (1.0, 1.0, 1.0, 0.5),
        (0.2, 7.0, 3.0, 0.96332664578181354),
        (25.0, 3.0, 16.0, 2.8005954268243941e-6),
        (1.1, 120.0, 300.0, 0.25812222673380107),
    ] {
        close(f_survival(x, d1, d2), want, "F survival");
        assert!((1.0 - f_cdf(x, d1, d2) - want).abs() < 1e-14, "F cdf");
    }
    assert_eq!(f_survival(f64::INFINITY, 2.0, 3.0), 0.0);
    assert_eq!(f_survival(0.0, 2.0, 3.0), 1.0);
}

#[test]
fn normal() {
    for (p, want) in [
        (0.975, 1.9599639845400542), // table: 1.960
        (0.995, 2.5758293035489008), // table: 2.576
        (0.9, 1.2815515655446005),
        (1e-10, -6.3613409024040562),
        (0.6, 0.2533471031357998),
    ] {
        close(normal_quantile(p), want, "normal quantile");
    }
    // The probability itself is rounded to 1e-16 here, which is 4e-11 of the result.
    assert!((normal_quantile(0.500001) - 2.5066282746336254e-6).abs() < 1e-15);
    for (x, want) in [
        (1.0, 0.84134474606854295),
        (-3.0, 0.0013498980316300945),
        (5.0, 0.99999971334842812),
        (-10.0, 7.6198530241605261e-24),
        (0.1, 0.53982783727702898),
        (-37.0, 5.7255712225245768e-300),
    ] {
        close(normal_cdf(x), want, "normal cdf");
    }
}

#[test]
fn binomial() {
    for (k, n, p, want) in [
        (3, 10, 0.5, 0.171875),
        (361, 368, 0.99, 0.079043220709882479),
        (367, 368, 0.99, 0.97523994460990629),
        (0, 5, 0.2, 0.32768),
        (9989, 10000, 0.999, 0.41696023937074256),
        (480, 1000, 0.5, 0.10872414660207047),
    ] {
        close(binomial_cdf(k, n, p), want, "binomial cdf");
        close(binomial_survival(k, n, p), 1.0 - want, "binomial survival");
    }
    // P(X > 367) = 0.99^368, the number behind "p99 needs 368 calls".
    close(binomial_survival(367, 368, 0.99), 0.99_f64.powi(368), "p^n");
    assert_eq!(binomial_cdf(5, 5, 0.3), 1.0);
    assert_eq!(binomial_cdf(2, 5, 0.0), 1.0);
    assert_eq!(binomial_cdf(2, 5, 1.0), 0.0);
}

proptest! {
    #[test]
    fn quantiles_invert_the_cdf(p in 1e-8_f64..0.999_999_99, df in 0.6_f64..500.0) {
        let t = student_t_quantile(p, df);
        prop_assert!((student_t_cdf(t, df) - p).abs() <= 1e-12 + 1e-11 * p);
        prop_assert!((normal_cdf(normal_quantile(p)) - p).abs() <= 1e-13);
    }

    #[test]
    fn beta_is_symmetric_and_in_range(a in 0.1_f64..2000.0, b in 0.1_f64..2000.0, x in 0.0_f64..1.0) {
        let value = regularized_beta(a, b, x);
        prop_assert!((0.0..=1.0 + 1e-15).contains(&value));
        prop_assert!((value + regularized_beta(b, a, 1.0 - x) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn binomial_sums_its_terms(n in 1_u64..60, k in 0_u64..60, p in 0.01_f64..0.99) {
        let k = k.min(n);
        let mut term = (1.0 - p).powi(n as i32);
        let mut sum = term;
        for i in 1..=k {
            term *= (n - i + 1) as f64 / i as f64 * p / (1.0 - p);
            sum += term;
        }
        prop_assert!((binomial_cdf(k, n, p) - sum).abs() < 1e-11);
    }
}
