//! What it costs to look at 10, 15, 20 and 30 runs and to stop when the intervals are narrow enough.
//!
//! Stopping on a small half-width picks sessions whose scatter came out small by chance, so the intervals cover a little less
//! than they say. The looks never see which side is faster, so no difference is preferred.

mod common;

use std::time::Duration;

use benchstats::stopping::{Decision, Looks};
use benchstats::verdict::{judge_family, noise_floor};
use benchstats::{Paired, Verdict, paired};
use common::{Rate, Source};

const FAST: u64 = 500;
const LARGE: u64 = 10_000;

/// Scatter of the log ratio at which the target of 5% is met surely at 10 runs, about then, later, and hardly ever.
const SCATTER: [f64; 6] = [0.04, 0.06, 0.08, 0.10, 0.12, 0.16];

struct Outcome {
    coverage: Rate,
    claims: Rate,
    runs: f64,
}

/// `comparisons` A/A ratios (true ratio 1) and a twin, measured until the looks say stop.
fn session(looks: &Looks, comparisons: usize, scatter: f64, trials: u64) -> Outcome {
    let mut source = Source::new(comparisons as u64 * 1000 + (scatter * 1000.0) as u64);
    let mut outcome = Outcome { coverage: Rate::default(), claims: Rate::default(), runs: 0.0 };
    let most = *looks.looks.last().unwrap() as usize;
    let ones = vec![1.0; most];
    for _ in 0..trials {
        let cells: Vec<Vec<f64>> =
            (0..=comparisons).map(|_| (0..most).map(|_| (scatter * source.normal()).exp()).collect()).collect();
        for (look, runs) in looks.looks.iter().enumerate() {
            let n = *runs as usize;
            let ratios: Vec<Paired> =
                cells.iter().map(|cell| paired::ratio(&cell[..n], &ones[..n], 0.95).unwrap()).collect();
            let (twin, rows) = ratios.split_last().unwrap();
            let widths: Vec<f64> = rows.iter().map(|row| row.interval.relative_half_width()).collect();
            if looks.decide(look, &widths, Duration::ZERO, Duration::MAX) == Decision::Continue {
                continue;
            }
            outcome.runs += n as f64 / trials as f64;
            for row in rows {
                outcome.coverage.add(row.interval.contains(1.0));
            }
            let claims = judge_family(rows, noise_floor(twin), 0.05);
            outcome.claims.add(claims.iter().any(|claim| matches!(claim.verdict, Verdict::Faster | Verdict::Slower)));
            break;
        }
    }
    outcome
}

/// `published`: coverage in percent at each scatter.
fn study(comparisons: usize, share: f64, trials: u64, published: [f64; 6]) {
    let looks = Looks { looks: vec![10, 15, 20, 30], target_share: share, target_half_width: 0.05 };
    for (scatter, published) in SCATTER.into_iter().zip(published) {
        let outcome = session(&looks, comparisons, scatter, trials);
        let what = format!(
            "looks at 10/15/20/30, {comparisons} comparisons, scatter {:.0}%, {:.1} runs on average",
            100.0 * scatter,
            outcome.runs
        );
        outcome.coverage.assert_near(published, &format!("{what}, coverage"));
        outcome.claims.assert_within(0.0, 5.0, &format!("{what}, false claims"));
    }
}

/// As an experiment stops: eight comparisons of ten must be narrow enough. One lucky comparison does not stop it.
fn ten_comparisons(trials: u64) {
    study(10, 0.8, trials, [95.1, 95.0, 95.0, 94.9, 95.0, 95.2]);
}

/// The worst case, a single comparison that stops itself: 1.4 points are lost where the target is met in the middle.
fn one_comparison(trials: u64) {
    study(1, 1.0, 10 * trials, [95.0, 94.9, 94.1, 93.6, 93.8, 94.7]);
}

mod fast {
    #[test]
    fn ten_comparisons() {
        super::ten_comparisons(super::FAST);
    }

    #[test]
    fn one_comparison() {
        super::one_comparison(super::FAST);
    }
}

mod large {
    #[test]
    #[ignore = "large size"]
    fn ten_comparisons() {
        super::ten_comparisons(super::LARGE);
    }

    #[test]
    #[ignore = "large size"]
    fn one_comparison() {
        super::one_comparison(super::LARGE);
    }
}
