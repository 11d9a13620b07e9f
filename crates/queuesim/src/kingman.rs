//! Closed forms: what theory says about mean waits. An explanation of a simulated number, never its replacement.

/// Mean wait of G/G/1: `ρ/(1 − ρ) · (cₐ² + cₛ²)/2 · E[S]` (Kingman 1961, "The single server queue in heavy traffic"). Exact for
/// M/G/1 (then it is Pollaczek-Khinchine), close in heavy traffic.
///
/// `utilization` is `λ·E[S]`; the squared coefficients of variation are those of the gaps between arrivals and of the service times. The
/// result has the unit of `mean_service`; infinite from a utilization of 1 on.
pub fn kingman(utilization: f64, gap_scv: f64, service_scv: f64, mean_service: f64) -> f64 {
    allen_cunneen(1, utilization, gap_scv, service_scv, mean_service)
}

/// Mean wait of G/G/c: that of M/M/c times `(cₐ² + cₛ²)/2` (Allen 1990, "Probability, Statistics, and Queueing Theory", section 5.3.5).
///
/// `utilization` is `λ·E[S]/c`. Unit and limits as [`kingman`].
pub fn allen_cunneen(servers: usize, utilization: f64, gap_scv: f64, service_scv: f64, mean_service: f64) -> f64 {
    erlang_c_wait(servers, utilization, mean_service) * (gap_scv + service_scv) / 2.0
}

/// The probability that a request waits in M/M/c (Erlang 1917, formula C), by the stable recursion of Erlang B:
/// `B(k) = a·B(k−1)/(k + a·B(k−1))`, `C = B/(1 − ρ·(1 − B))`, with the offered load `a = ρ·c`. 1 from a utilization of 1 on.
pub fn erlang_c(servers: usize, utilization: f64) -> f64 {
    if utilization >= 1.0 {
        return 1.0;
    }
    let load = utilization * servers as f64;
    let blocked = (1..=servers).fold(1.0, |b, k| load * b / (k as f64 + load * b));
    blocked / (1.0 - utilization * (1.0 - blocked))
}

/// Mean wait of M/M/c: `C/(c·(1 − ρ)) · E[S]`. Unit and limits as [`kingman`].
pub fn erlang_c_wait(servers: usize, utilization: f64, mean_service: f64) -> f64 {
    if utilization >= 1.0 {
        return f64::INFINITY;
    }
    erlang_c(servers, utilization) / (servers as f64 * (1.0 - utilization)) * mean_service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        // M/M/1: the wait is ρ/(1 − ρ); M/D/1: half of it.
        assert!((kingman(0.8, 1.0, 1.0, 10.0) - 40.0).abs() < 1e-12);
        assert!((kingman(0.8, 1.0, 0.0, 10.0) - 20.0).abs() < 1e-12);
        // M/M/2: C = 2ρ²/(1 + ρ).
        assert!((erlang_c(2, 0.75) - 2.0 * 0.5625 / 1.75).abs() < 1e-12);
        // Erlang C by its definition, at c = 5 and a = 4: 0.5541.
        let (a, mut term, mut sum) = (4.0_f64, 1.0, 0.0);
        for k in 0..5 {
            sum += term;
            term *= a / f64::from(k + 1);
        }
        let last = term / (1.0 - 0.8);
        assert!((erlang_c(5, 0.8) - last / (sum + last)).abs() < 1e-12);
        assert_eq!(kingman(1.0, 1.0, 1.0, 1.0), f64::INFINITY);
        assert_eq!(kingman(0.5, 0.0, 0.0, 1.0), 0.0);
    }
}
