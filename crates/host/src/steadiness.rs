//! Whether the same work takes the same time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::facts::{Facts, percent};

/// How long the work goes on. A frequency change or a neighbour's burst lasts some milliseconds.
const WINDOW: Duration = Duration::from_millis(300);

/// How long one bin of the work is meant to take: long against the clock, short against a scheduler's slice.
const BIN: Duration = Duration::from_millis(5);

/// The work is sized, and the core woken, for this long before the bins begin.
const SIZING: Duration = Duration::from_millis(20);

/// Steps of the work between two looks at the clock while it is sized: some 20 µs.
const STEPS: u64 = 20_000;

/// Coefficient of variation of the bins over which the speed is called unsteady.
const UNSTEADY: f64 = 0.05;

/// How much the time of the same work varied.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    shortest_ns: u64,
    longest_ns: u64,
    /// Standard deviation (n - 1) over mean.
    variation: f64,
}

impl Spread {
    /// None with fewer than 10 bins: nothing can be said of a host so slow, or so often stopped.
    fn of(bins: &[u64]) -> Option<Self> {
        if bins.len() < 10 {
            return None;
        }
        let count = bins.len() as f64;
        let mean = bins.iter().sum::<u64>() as f64 / count;
        let squares: f64 = bins.iter().map(|bin| (*bin as f64 - mean).powi(2)).sum();
        Some(Self {
            shortest_ns: *bins.iter().min()?,
            longest_ns: *bins.iter().max()?,
            variation: (squares / (count - 1.0)).sqrt() / mean,
        })
    }
}

pub(super) fn probe(facts: &mut Facts) {
    judge(Spread::of(&measure()), facts);
}

fn judge(spread: Option<Spread>, facts: &mut Facts) {
    const STEADY: (&str, &str) = ("cpu.steadiness", "steadiness of the speed");
    let Some(spread) = spread else {
        facts.unknown(STEADY.0, STEADY.1, None);
        return;
    };
    let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
    let value = format!(
        "the same work took {:.2} to {:.2} ms within {:.1} s (coefficient of variation {})",
        milliseconds(spread.shortest_ns),
        milliseconds(spread.longest_ns),
        WINDOW.as_secs_f64(),
        percent(spread.variation)
    );
    if spread.variation > UNSTEADY {
        facts.warn(
            STEADY.0,
            STEADY.1,
            format!("{value}: neighbours or frequency changes; intervals will be wide"),
            "stop other work (top shows it), or repeat on a quieter host or a dedicated instance",
        );
    } else {
        facts.ok(STEADY.0, STEADY.1, value);
    }
}

/// Times in nanoseconds of one fixed piece of work, again and again for [`WINDOW`].
fn measure() -> Vec<u64> {
    let steps = size();
    let mut bins = Vec::with_capacity(128);
    let began = Instant::now();
    while began.elapsed() < WINDOW {
        let start = Instant::now();
        work(steps);
        bins.push(start.elapsed().as_nanos() as u64);
    }
    bins
}

/// Steps of the work that take [`BIN`] when nothing disturbs: by the fastest of the sizing pieces.
fn size() -> u64 {
    let began = Instant::now();
    let mut fastest = Duration::MAX;
    while began.elapsed() < SIZING {
        let start = Instant::now();
        work(STEPS);
        fastest = fastest.min(start.elapsed());
    }
    let pieces = BIN.as_nanos() / fastest.as_nanos().max(1);
    STEPS * pieces.clamp(1, 100_000) as u64
}

/// A chain in which each step needs the one before it (a linear congruential generator), so that its speed is that of the
/// core's clock and not of memory.
fn work(steps: u64) {
    let mut state = black_box(1_u64);
    for _ in 0..steps {
        state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    }
    black_box(state);
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::results::FactVerdict;

    #[test]
    fn the_spread_of_known_bins() {
        // Ten bins of 4 and ten of 6 ms: mean 5 ms, standard deviation sqrt(20 / 19) ms.
        let bins: Vec<u64> = [4_000_000, 6_000_000].repeat(10);
        let spread = Spread::of(&bins).unwrap();
        assert_eq!((spread.shortest_ns, spread.longest_ns), (4_000_000, 6_000_000));
        assert!((spread.variation - (20.0_f64 / 19.0).sqrt() / 5.0).abs() < 1e-12, "{spread:?}");
        assert_eq!(Spread::of(&bins[..9]), None);
        assert_eq!(Spread::of(&[5_000_000; 60]).unwrap().variation, 0.0);
    }

    #[test]
    fn an_unsteady_speed_is_told_with_its_figures() {
        let mut facts = Facts::default();
        judge(Some(Spread { shortest_ns: 4_720_000, longest_ns: 8_900_000, variation: 0.123 }), &mut facts);
        let fact = facts.get("cpu.steadiness");
        assert_eq!(fact.verdict, FactVerdict::Warn);
        assert_eq!(
            fact.value,
            "the same work took 4.72 to 8.90 ms within 0.3 s (coefficient of variation 12.3%): neighbours or frequency \
             changes; intervals will be wide"
        );
        assert!(fact.remedy.is_some());
    }

    #[test]
    fn a_steady_speed_and_one_that_could_not_be_seen() {
        for (spread, verdict) in [
            (Some(Spread { shortest_ns: 1, longest_ns: 1, variation: 0.05 }), FactVerdict::Ok),
            (None, FactVerdict::Unknown),
        ] {
            let mut facts = Facts::default();
            judge(spread, &mut facts);
            assert_eq!(facts.get("cpu.steadiness").verdict, verdict);
        }
    }
}
