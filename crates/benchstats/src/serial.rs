//! Whether the runs of a session hang together.

/// Above this lag-1 autocorrelation of the runs an interval speaks for this session only.
pub const SESSION_ONLY: f64 = 0.3;

/// Lag-1 autocorrelation of the values in the order of the runs: `Σ(xᵢ − x̄)(xᵢ₊₁ − x̄) / Σ(xᵢ − x̄)²`
/// (Box, Jenkins, Reinsel, Ljung: Time Series Analysis, chapter 2).
///
/// None with fewer than four runs, with a value that is not finite, or when all are equal. Independent runs give `−1/n` on
/// average, with a standard deviation of about `1/√n`: with few runs only strong dependence can be seen.
pub fn lag1(values: &[f64]) -> Option<f64> {
    if values.len() < 4 || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let products: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    (squares > 0.0).then(|| products / squares)
}

/// True if the autocorrelation of the runs is above [`SESSION_ONLY`]: the interval must say "this session only".
pub fn session_only(values: &[f64]) -> bool {
    lag1(values).is_some_and(|lag| lag > SESSION_ONLY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Deviations −1.5, −0.5, 0.5, 1.5: (0.75 − 0.25 + 0.75) / 5.
        assert!((lag1(&[1.0, 2.0, 3.0, 4.0]).unwrap() - 0.25).abs() < 1e-12);
        // Deviations ±1, alternating, n = 6: −5/6.
        let alternating = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0];
        assert!((lag1(&alternating).unwrap() + 5.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_drift_is_noticed() {
        let drift: Vec<f64> = (0..10).map(f64::from).collect();
        assert!((lag1(&drift).unwrap() - 0.7).abs() < 1e-12);
        assert!(session_only(&drift));
        assert!(!session_only(&[1.0, 3.0, 2.0, 3.0, 1.0, 2.0]));
    }

    #[test]
    fn nothing_to_say() {
        assert_eq!(lag1(&[1.0, 2.0, 3.0]), None);
        assert_eq!(lag1(&[2.0; 6]), None);
        assert_eq!(lag1(&[1.0, f64::NAN, 2.0, 3.0]), None);
    }
}
