//! Percentile intervals, coefficient intervals and the lack-of-fit test, on data whose truth is known.

mod common;

use benchstats::fit::{across_runs, lack_of_fit, lack_of_fit_over_runs, relative_weights, weighted};
use benchstats::order::quantile_with_interval;
use common::{Rate, Source};

/// Heavy-tailed calls (lognormal, sigma 1): the interval of p99 covers at least its level, at any sample size where it is
/// bounded, and also where it is not.
fn percentiles(trials: u64) {
    for (calls, p, z) in [
        (100, 0.5, 0.0),
        (100, 0.99, 2.3263478740408408),
        (400, 0.99, 2.3263478740408408),
        (1000, 0.9, 1.2815515655446004),
    ] {
        let truth = f64::exp(z);
        let mut source = Source::new(calls as u64);
        let mut rate = Rate::default();
        for _ in 0..trials {
            let mut values: Vec<f64> = (0..calls).map(|_| source.normal().exp()).collect();
            values.sort_by(f64::total_cmp);
            rate.add(quantile_with_interval(&values, p, 0.95).unwrap().contains(truth));
        }
        rate.assert_within(95.0, 99.5, &format!("p{:.0} of {calls} calls", 100.0 * p));
    }
}

/// History-tax data: time = a + b·messages + c·tokens, 3% noise a point and 4% that all points of a run share.
struct History {
    bend: f64,
}

const TRUTH: [f64; 3] = [200_000.0, 8_000.0, 300.0];

impl History {
    fn run(&self, source: &mut Source) -> (Vec<Vec<f64>>, Vec<f64>) {
        let shared = 1.0 + 0.04 * source.normal();
        let (mut rows, mut y) = (Vec::new(), Vec::new());
        for messages in [1.0, 19.0, 49.0, 99.0, 149.0, 199.0_f64] {
            for tokens in [10_000.0, 50_000.0, 100_000.0] {
                let time = TRUTH[0] + TRUTH[1] * messages + TRUTH[2] * tokens + self.bend * messages * messages;
                rows.push(vec![1.0, messages, tokens]);
                y.push(time * shared * (1.0 + 0.03 * source.normal()));
            }
        }
        (rows, y)
    }
}

/// Coefficients over 10 runs: t across runs covers; one fit over all points, which takes them as independent, does not.
fn coefficients(trials: u64) {
    let mut source = Source::new(77);
    let (mut over_runs, mut pooled) = ([Rate::default(); 3], [Rate::default(); 3]);
    for _ in 0..trials {
        let (mut all_rows, mut all_y, mut per_run) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..10 {
            let (rows, y) = History { bend: 0.0 }.run(&mut source);
            let fit = weighted(&rows, &y, &relative_weights(&y).unwrap(), 0.95).unwrap();
            per_run.push(fit.coefficients.iter().map(|c| c.point).collect::<Vec<_>>());
            all_rows.extend(rows);
            all_y.extend(y);
        }
        let runs = across_runs(&per_run, 0.95).unwrap();
        let all = weighted(&all_rows, &all_y, &relative_weights(&all_y).unwrap(), 0.95).unwrap();
        for column in 0..3 {
            over_runs[column].add(runs[column].contains(TRUTH[column]));
            pooled[column].add(all.coefficients[column].contains(TRUTH[column]));
        }
    }
    for (column, (name, published)) in [("a", 99.6), ("b", 99.2), ("c", 56.1)].into_iter().enumerate() {
        over_runs[column].assert_within(93.5, 96.5, &format!("{name} over 10 runs"));
        pooled[column].assert_near(published, &format!("{name} pooled over 10 runs"));
    }
}

/// How often the test says that a right model misses (5% is right), and that a bent one does. Handing all points over as if they were independent finds nothing.
fn misfits(trials: u64) {
    for (bend, over_runs, pooled) in [(0.0, 5.1, 0.0), (10.0, 24.8, 0.3), (20.0, 84.9, 6.2)] {
        let mut source = Source::new(78);
        let (mut found, mut found_pooled) = (Rate::default(), Rate::default());
        for _ in 0..trials {
            let runs: Vec<_> = (0..10).map(|_| History { bend }.run(&mut source)).collect();
            let rows = runs[0].0.clone();
            let (all_rows, per_run): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
            found.add(lack_of_fit_over_runs(&rows, &per_run).unwrap().p < 0.05);
            let (all_rows, all_y) = (all_rows.concat(), per_run.concat());
            let weights = relative_weights(&all_y).unwrap();
            found_pooled.add(lack_of_fit(&all_rows, &all_y, &weights).unwrap().p < 0.05);
        }
        let what = format!("lack of fit found, messages² at {bend} ns, 10 runs");
        found.assert_near(over_runs, &what);
        found_pooled.assert_near(pooled, &format!("{what}, pooled"));
    }
}

macro_rules! sizes {
    ($($study:ident $fast:literal $large:literal)*) => {
        mod fast {
            $(#[test] fn $study() { super::$study($fast); })*
        }
        mod large {
            $(#[test] #[ignore = "large size"] fn $study() { super::$study($large); })*
        }
    };
}

sizes! {
    percentiles 3_000 50_000
    coefficients 1_000 30_000
    misfits 1_000 30_000
}
