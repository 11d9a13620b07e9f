use super::*;

const SECOND: u64 = 1_000_000_000;

fn generate(spacing: Spacing, rate: f64, count: usize, seed: u64) -> Schedule {
    Schedule::generate(&Intensity::Constant { rate }, spacing, Extent::count(count), seed).unwrap()
}

/// Gaps in units of the mean gap; the first is counted from the start.
fn gaps(schedule: &Schedule, rate: f64) -> Vec<f64> {
    let mut last = 0;
    let gap = |&time: &u64| {
        let gap = (time - last) as f64 / 1e9 * rate;
        last = time;
        gap
    };
    schedule.times_ns().iter().map(gap).collect()
}

fn mean_and_cv(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance.sqrt() / mean)
}

/// Regularised lower incomplete gamma function by its series (Abramowitz and Stegun 6.5.29), with the logarithm of Γ from
/// Stirling's series after a shift.
fn gamma_cdf(shape: f64, x: f64) -> f64 {
    let ln_gamma = |z: f64| {
        let shifted = z + 12.0;
        let stirling =
            (shifted - 0.5) * shifted.ln() - shifted + 0.5 * std::f64::consts::TAU.ln() + 1.0 / (12.0 * shifted)
                - 1.0 / (360.0 * shifted.powi(3));
        stirling - (0..12).map(|k| (z + f64::from(k)).ln()).sum::<f64>()
    };
    if x > 60.0 + 4.0 * shape {
        return 1.0;
    }
    let (mut term, mut sum, mut k) = (1.0 / shape, 1.0 / shape, shape);
    while term > sum * 1e-16 {
        k += 1.0;
        term *= x / k;
        sum += term;
    }
    (sum.ln() + shape * x.ln() - x - ln_gamma(shape)).exp().min(1.0)
}

/// Kolmogorov's distance between sorted samples and a distribution.
fn distance(mut values: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let at = |(index, &value): (usize, &f64)| {
        let below = cdf(value);
        (below - index as f64 / n).abs().max(((index + 1) as f64 / n - below).abs())
    };
    values.iter().enumerate().map(at).fold(0.0, f64::max)
}

#[test]
fn even_gaps_are_equal_and_start_at_once() {
    let schedule = generate(Spacing::Even, 1000.0, 1001, 1);
    assert_eq!(schedule.times_ns()[0], 0);
    assert_eq!(schedule.times_ns()[1000], SECOND);
    assert!(schedule.times_ns().windows(2).all(|pair| pair[1] - pair[0] == 1_000_000));
    assert!((schedule.rate() - 1000.0).abs() < 1.0);
}

#[test]
fn a_duration_ends_before_its_end() {
    let intensity = Intensity::Constant { rate: 100.0 };
    let even = Schedule::generate(&intensity, Spacing::Even, Extent::duration(2 * SECOND), 0).unwrap();
    assert_eq!((even.len(), even.duration_ns()), (200, 2 * SECOND));
    let poisson = Schedule::generate(&intensity, Spacing::Poisson, Extent::duration(100 * SECOND), 3).unwrap();
    assert!(poisson.times_ns().iter().all(|&time| time < 100 * SECOND));
    // 10,000 expected, standard deviation 100.
    assert!((9_500..=10_500).contains(&poisson.len()), "{}", poisson.len());
}

#[test]
fn poisson_and_gamma_have_their_mean_spread_and_distribution() {
    const RATE: f64 = 0.01;
    let n = 100_000;
    for (seed, burstiness) in [(1, 0.25), (2, 0.5), (3, 1.0), (4, 2.0), (5, 10.0)] {
        let schedule = generate(Spacing::Gamma { burstiness }, RATE, n, seed);
        let gaps = gaps(&schedule, RATE);
        let (mean, cv) = mean_and_cv(&gaps);
        let expected: f64 = 1.0 / burstiness.sqrt();
        // Five standard errors of a mean; the spread of a spread is wider, most of all for bursty gaps.
        assert!((mean - 1.0).abs() < 5.0 * expected / (n as f64).sqrt(), "burstiness {burstiness}: mean {mean}");
        assert!((cv / expected - 1.0).abs() < 0.03, "burstiness {burstiness}: cv {cv}");
        // Kolmogorov's 99.9% quantile is 1.95/√n. Times are whole ns, and gaps so long that rounding does not show.
        let far = distance(gaps.iter().map(|gap| gap * burstiness).collect(), |x| gamma_cdf(burstiness, x.max(1e-12)));
        assert!(far < 1.95 / (n as f64).sqrt(), "burstiness {burstiness}: distance {far}");
    }
    let poisson = generate(Spacing::Poisson, RATE, n, 6);
    let far = distance(gaps(&poisson, RATE), |x| 1.0 - (-x).exp());
    assert!(far < 1.95 / (n as f64).sqrt(), "{far}");
    // The test itself can fail: Poisson gaps are not gamma gaps of shape 2.
    assert!(distance(gaps(&poisson, RATE), |x| gamma_cdf(2.0, (2.0 * x).max(1e-12))) > 0.05);
}

#[test]
fn gaps_are_independent() {
    let gaps = gaps(&generate(Spacing::Poisson, 1.0, 100_000, 9), 1.0);
    let (mean, cv) = mean_and_cv(&gaps);
    let lag: f64 = gaps.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>();
    let correlation = lag / gaps.len() as f64 / (cv * mean).powi(2);
    assert!(correlation.abs() < 0.015, "{correlation}");
}

#[test]
fn the_same_seed_gives_the_same_times() {
    let first = generate(Spacing::Gamma { burstiness: 0.5 }, 100.0, 1000, 7);
    assert_eq!(first, generate(Spacing::Gamma { burstiness: 0.5 }, 100.0, 1000, 7));
    assert_ne!(first, generate(Spacing::Gamma { burstiness: 0.5 }, 100.0, 1000, 8));
    // Another rate or length of the same seed is the same pattern.
    assert_eq!(first.times_ns()[..500], *generate(Spacing::Gamma { burstiness: 0.5 }, 100.0, 500, 7).times_ns());
}

/// Pinned: a version that gives other times would make recorded schedules wrong.
#[test]
fn the_stream_does_not_change_between_versions() {
    let mut sampler = Sampler::new(42, "arrivals");
    let all = [sampler.uniform(), sampler.exponential(), sampler.normal(), sampler.gamma(0.5), sampler.gamma(3.0)];
    // The first follows from ChaCha8's first block; the others were recorded.
    let pinned = [0.6899742477256978, 0.8634694672346437, 0.22997022161510075, 0.810332540954694, 1.035580434600238];
    for (value, pinned) in all.iter().zip(pinned) {
        assert!((value - pinned).abs() < 1e-12, "{all:?}");
    }
}

#[test]
fn a_ramp_has_its_rate_at_each_end() {
    let ramp = Intensity::Ramp { from: 100.0, to: 300.0, duration_ns: 10 * SECOND };
    let even = Schedule::generate(&ramp, Spacing::Even, Extent::duration(20 * SECOND), 0).unwrap();
    let within = |from: u64, to: u64| {
        even.times_ns().iter().filter(|&&time| (from * SECOND..to * SECOND).contains(&time)).count()
    };
    // 100 + 20·t per second: 110 in the first second, 290 in the tenth, 300 ever after.
    assert!(within(0, 1).abs_diff(110) <= 1 && within(9, 10).abs_diff(290) <= 1, "{} {}", within(0, 1), within(9, 10));
    assert!(within(0, 10).abs_diff(2000) <= 1 && within(15, 16).abs_diff(300) <= 1);
    let down = Intensity::Ramp { from: 100.0, to: 0.0, duration_ns: 10 * SECOND };
    let poisson = Schedule::generate(&down, Spacing::Poisson, Extent::duration(60 * SECOND), 1).unwrap();
    assert!((350..650).contains(&poisson.len()) && *poisson.times_ns().last().unwrap() < 10 * SECOND);
}

#[test]
fn steps_follow_each_other_and_may_pause() {
    let steps = [(100.0, 1), (0.0, 1), (400.0, 1)];
    let steps = steps.map(|(rate, seconds)| Step { rate, duration_ns: seconds * SECOND }).to_vec();
    let schedule =
        Schedule::generate(&Intensity::Steps { steps }, Spacing::Poisson, Extent::duration(4 * SECOND), 5).unwrap();
    let within =
        |from: u64| schedule.times_ns().iter().filter(|&&t| (from * SECOND..(from + 1) * SECOND).contains(&t)).count();
    assert!((60..140).contains(&within(0)), "{}", within(0));
    assert_eq!(within(1), 0);
    assert!((320..480).contains(&within(2)) && (320..480).contains(&within(3)));
}

#[test]
fn traces_in_seconds_and_of_mooncake() {
    let plain = parse_trace("# seconds\n10.0\n10.25\n\n10.25\n12\n", 1.0).unwrap();
    assert_eq!(plain.times_ns(), [0, SECOND / 4, SECOND / 4, 2 * SECOND]);
    let mooncake = "{\"timestamp\": 27000, \"input_length\": 6955, \"output_length\": 52}\n{\"timestamp\": 30000}\n";
    assert_eq!(parse_trace(mooncake, 2.0).unwrap().times_ns(), [0, 3 * SECOND / 2]);
    let error = |text: &str| parse_trace(text, 1.0).unwrap_err().to_string();
    assert!(error("1\nx\n").contains("line 2"), "{}", error("1\nx\n"));
    assert!(error("1\n0.5\n").contains("line 2"));
    assert!(error("nan\n").contains("line 1"));
    assert!(error("{\"time\": 1}").contains("line 1"));
    assert!(error("").contains("no request"));
    assert!(parse_trace("1\n", 0.0).is_err());
}

#[test]
fn a_cut_keeps_the_front() {
    let schedule = Schedule::new(vec![0, 10, 20, 30], None).unwrap();
    assert_eq!(schedule.duration_ns(), 40);
    assert_eq!(schedule.clone().cut(Extent::count(2)).unwrap().times_ns(), [0, 10]);
    let short = schedule.clone().cut(Extent::duration(25)).unwrap();
    assert_eq!((short.times_ns(), short.duration_ns()), (&[0, 10, 20][..], 25));
    assert_eq!(schedule.clone().cut(Extent::duration(100)).unwrap(), schedule);
    assert_eq!(schedule.cut(Extent::count(0)), Err(ArrivalError::Empty));
}

#[test]
fn what_makes_no_schedule_is_refused_with_a_reason() {
    let rate = |rate| Schedule::generate(&Intensity::Constant { rate }, Spacing::Poisson, Extent::count(1), 0);
    assert_eq!(rate(0.0), Err(ArrivalError::Rate(0.0)));
    assert!(rate(f64::NAN).is_err() && rate(-1.0).is_err() && rate(f64::INFINITY).is_err());
    let one = Intensity::Constant { rate: 1.0 };
    assert_eq!(Schedule::generate(&one, Spacing::Poisson, Extent::default(), 0), Err(ArrivalError::Endless));
    let flat = Spacing::Gamma { burstiness: 0.0 };
    assert_eq!(Schedule::generate(&one, flat, Extent::count(1), 0), Err(ArrivalError::Burstiness(0.0)));
    assert_eq!(Schedule::new(vec![2, 1], None), Err(ArrivalError::Unsorted(1)));
    let none = Intensity::Steps { steps: Vec::new() };
    assert_eq!(Schedule::generate(&none, Spacing::Even, Extent::count(1), 0), Err(ArrivalError::NoSteps));
    let pause = Intensity::Steps { steps: vec![Step { rate: 0.0, duration_ns: 1 }] };
    assert_eq!(Schedule::generate(&pause, Spacing::Even, Extent::count(1), 0), Err(ArrivalError::Rate(0.0)));
    let fast = Intensity::Constant { rate: 1e9 };
    assert_eq!(Schedule::generate(&fast, Spacing::Even, Extent::duration(SECOND), 0), Err(ArrivalError::TooMany));
}

#[test]
fn an_exponential_ramp_multiplies_in_equal_times() {
    let d = 100 * SECOND;
    let ramp = Intensity::Exponential { from: 10.0, to: 1000.0, duration_ns: d };
    let schedule = Schedule::generate(&ramp, Spacing::Even, Extent::duration(d), 0).unwrap();
    // Expected until t: a·d/k·(e^(kt/d) − 1) with k = ln 100.
    let k = 100_f64.ln();
    let until = |share: f64| 10.0 * 100.0 / k * ((k * share).exp() - 1.0);
    for share in [0.25, 0.5, 0.75, 1.0] {
        let came = schedule.times_ns().partition_point(|&time| time < (d as f64 * share) as u64);
        assert!((came as f64 - until(share)).abs() < 2.0, "{came} at {share}, expected {}", until(share));
    }
    assert!((ramp.mean_rate() * 100.0 - until(1.0)).abs() < 1e-6);
    // Half of the time is a factor of ten, not half of the way.
    let rate = |at_s: u64| {
        let within = |from: u64, to: u64| {
            schedule.times_ns().partition_point(|&t| t < to) - schedule.times_ns().partition_point(|&t| t < from)
        };
        within(at_s * SECOND, (at_s + 2) * SECOND) as f64 / 2.0
    };
    assert!((rate(49) / 100.0 - 1.0).abs() < 0.05, "{}", rate(49));
    let level = Intensity::Exponential { from: 50.0, to: 50.0, duration_ns: d };
    let constant = Intensity::Constant { rate: 50.0 };
    let of = |intensity| Schedule::generate(intensity, Spacing::Poisson, Extent::count(100), 5).unwrap();
    assert_eq!(of(&level).times_ns(), of(&constant).times_ns());
    let down = Intensity::Exponential { from: 1000.0, to: 10.0, duration_ns: d };
    let reversed = Schedule::generate(&down, Spacing::Even, Extent::duration(d), 0).unwrap();
    assert!(reversed.len().abs_diff(schedule.len()) <= 1);
    // Past its end the last rate stays.
    let long = Schedule::generate(&ramp, Spacing::Even, Extent::duration(2 * d), 0).unwrap();
    assert!((long.len() - schedule.len()).abs_diff(100_000) <= 1);
    for (from, to) in [(0.0, 10.0), (10.0, 0.0), (-1.0, 1.0)] {
        let ramp = Intensity::Exponential { from, to, duration_ns: d };
        assert!(matches!(Schedule::generate(&ramp, Spacing::Even, Extent::count(1), 0), Err(ArrivalError::Rate(_))));
    }
}

#[test]
fn what_varies_knows_its_mean_its_length_and_its_peak() {
    let ramp = Intensity::Ramp { from: 10.0, to: 30.0, duration_ns: 5 * SECOND };
    assert_eq!((ramp.mean_rate(), ramp.length_ns(), ramp.peak()), (20.0, Some(5 * SECOND), 30.0));
    let step = |rate, seconds| Step { rate, duration_ns: seconds * SECOND };
    let steps = Intensity::Steps { steps: vec![step(10.0, 3), step(0.0, 1), step(40.0, 1)] };
    assert_eq!((steps.mean_rate(), steps.length_ns(), steps.peak()), (14.0, Some(5 * SECOND), 40.0));
    assert_eq!(Intensity::Constant { rate: 3.0 }.length_ns(), None);
}
