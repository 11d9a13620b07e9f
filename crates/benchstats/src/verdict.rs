//! Whether a family of comparisons shows differences that matter on this machine.

use crate::contrast::Contrast;
use crate::dist::student_t_cdf;
use crate::interval::Interval;
use crate::paired::Paired;

/// Differences below 2% are never called differences, however narrow their interval.
pub const LEAST_FLOOR: f64 = 0.02;

/// A session whose floor is higher cannot call anything equal: "the same within a factor of two" is no finding.
pub const MOST_FLOOR: f64 = 0.2;

/// What a ratio `time of the row / time of the baseline` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The adjusted interval lies wholly below `1/(1 + floor)`.
    Faster,
    /// The adjusted interval lies wholly above `1 + floor`.
    Slower,
    /// The unadjusted 90% interval lies inside `[1/(1 + floor), 1 + floor]` (two one-sided tests at 5%, Schuirmann 1987), and the
    /// floor is at most [`MOST_FLOOR`].
    Equivalent,
    /// None of these: more runs or a quieter machine would be needed to tell.
    Inconclusive,
}

impl Verdict {
    /// The word that stands in a record: `faster`, `slower`, `equivalent`, `inconclusive`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Equivalent => "equivalent",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The verdict on one ratio of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The interval at the level of the ratio's Holm step, `1 − alpha/(m − k)`.
    pub adjusted: Interval,
    /// Holm-adjusted p-value of "the ratio lies within the floor".
    pub p_adjusted: f64,
}

/// One comparison of a family with its own noise floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    pub contrast: Contrast,
    /// Noise on the scale of the contrast's mean: `ln(1 + floor)` of a ratio, the floor itself, in the unit, of a difference.
    pub margin: f64,
    /// Whether it may be called equal: a margin that is wide says nothing by holding the interval.
    pub may_be_equal: bool,
}

impl Claim {
    /// A ratio with a floor as a fraction (0.02 is 2%); equal only where the floor is at most [`MOST_FLOOR`].
    pub fn ratio(contrast: Contrast, floor: f64) -> Self {
        Self { contrast, margin: floor.ln_1p(), may_be_equal: floor <= MOST_FLOOR }
    }
}

/// The smallest difference that this session can call one, as a fraction (0.02 is 2%).
///
/// `max(2%, e^b − 1)` where `b` is the larger absolute bound of the A/A twin's 95% interval of the log ratio: the twin is the
/// baseline measured again under another name, so its true ratio is 1 and what it shows instead is noise.
pub fn noise_floor(twin: &Paired) -> f64 {
    let bound = twin.mean_log.abs() + twin.half_width_log(0.95);
    LEAST_FLOOR.max(bound.exp_m1())
}

/// The larger absolute bound of the A/A twin's 95% interval on the scale of its mean: what noise alone showed.
pub fn noise(twin: &Contrast) -> f64 {
    twin.mean.abs() + twin.half_width(0.95)
}

/// Verdicts on a family of ratios `time of the row / time of the baseline` with one floor, a fraction; see [`judge`].
pub fn judge_family(family: &[Paired], floor: f64, alpha: f64) -> Vec<Judgement> {
    let claims: Vec<Claim> = family.iter().map(|paired| Claim::ratio(Contrast::from(paired), floor)).collect();
    judge(&claims, alpha)
}

/// Verdicts on all comparisons of a family, with at most `alpha` probability that any of them is called faster (less) or slower
/// (more) while the truth lies within its own margin (Holm 1979, "A simple sequentially rejective multiple test procedure").
///
/// Ratios and differences may stand in one family: each is tested on its own scale against its own margin, and only the
/// p-values meet. `alpha`: 0.05.
///
/// The comparisons are taken in the order of the p-value of "within the margin", `p = 2·P(T > (|mean| − margin)/se)`. Step
/// `k` = 0, 1, … of `m` judges by the interval at level `1 − alpha/(m − k)`; the first that is not beyond its margin ends
/// the claims, and it and all after it carry the interval of that step. A margin or alpha that is not a number gives only
/// inconclusive verdicts.
pub fn judge(family: &[Claim], alpha: f64) -> Vec<Judgement> {
    let p_values: Vec<f64> = family.iter().map(p_value).collect();
    let mut order: Vec<usize> = (0..family.len()).collect();
    order.sort_by(|left, right| p_values[*left].total_cmp(&p_values[*right]));

    let mut judgements: Vec<Option<Judgement>> = vec![None; family.len()];
    let mut claims_end_at: Option<f64> = None;
    let mut p_so_far = 0.0_f64;
    for (step, index) in order.into_iter().enumerate() {
        let Claim { contrast, margin, may_be_equal } = family[index];
        let remaining = (family.len() - step) as f64;
        let level = claims_end_at.unwrap_or(1.0 - alpha / remaining);
        let half = contrast.half_width(level);
        let beyond = if claims_end_at.is_some() {
            None
        } else if contrast.mean + half < -margin {
            Some(Verdict::Faster)
        } else if contrast.mean - half > margin {
            Some(Verdict::Slower)
        } else {
            claims_end_at = Some(level);
            None
        };
        let ninety = contrast.half_width(0.90);
        let inside = contrast.mean - ninety >= -margin && contrast.mean + ninety <= margin;
        let verdict =
            beyond.unwrap_or(if inside && may_be_equal { Verdict::Equivalent } else { Verdict::Inconclusive });
        p_so_far = p_so_far.max((p_values[index] * remaining).min(1.0));
        judgements[index] = Some(Judgement { verdict, adjusted: contrast.at(level), p_adjusted: p_so_far });
    }
    judgements.into_iter().flatten().collect()
}

/// Two-sided p-value of "the mean lies within ±margin"; below `alpha'` exactly if the interval at level `1 − alpha'` lies
/// beyond the margin.
fn p_value(claim: &Claim) -> f64 {
    let Claim { contrast, margin, .. } = claim;
    let beyond = contrast.mean.abs() - margin;
    if beyond <= 0.0 {
        return 1.0;
    }
    if beyond.is_nan() || contrast.se.is_nan() {
        return f64::NAN;
    }
    2.0 * student_t_cdf(-beyond / contrast.se, f64::from(contrast.df))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paired::ratio;

    fn paired(mean_log: f64, se_log: f64, df: u32) -> Paired {
        let mut paired = ratio(&[1.0, 1.0], &[1.0, 1.0], 0.95).unwrap();
        (paired.mean_log, paired.se_log, paired.df) = (mean_log, se_log, df);
        paired.interval = paired.at(0.95);
        paired
    }

    #[test]
    fn a_noisy_session_calls_nothing_equal() {
        let same = [paired(0.0, 0.01, 9)];
        assert_eq!(verdicts(&same, 0.2), [Verdict::Equivalent]);
        assert_eq!(verdicts(&same, 0.21), [Verdict::Inconclusive]);
        assert_eq!(verdicts(&[paired(1.0, 0.01, 9)], 0.21), [Verdict::Slower]);
    }

    fn verdicts(family: &[Paired], floor: f64) -> Vec<Verdict> {
        judge_family(family, floor, 0.05).iter().map(|judgement| judgement.verdict).collect()
    }

    #[test]
    fn the_floor_is_two_percent_or_what_the_twin_shows() {
        assert_eq!(noise_floor(&paired(0.0, 0.001, 9)), 0.02);
        // 2.262157 · 0.02 + 0.01 = 0.0552431; e^… − 1 = 5.68%. A twin that is "faster" counts the same.
        for mean in [0.01, -0.01] {
            assert!((noise_floor(&paired(mean, 0.02, 9)) - 0.05679752).abs() < 1e-6);
        }
    }

    #[test]
    fn one_ratio_of_each_kind() {
        let family = [paired(-0.5, 0.01, 19), paired(0.5, 0.01, 19), paired(0.001, 0.003, 19), paired(0.03, 0.02, 19)];
        assert_eq!(
            verdicts(&family, 0.02),
            [Verdict::Faster, Verdict::Slower, Verdict::Equivalent, Verdict::Inconclusive]
        );
    }

    #[test]
    fn a_clear_difference_below_the_floor_is_equivalent() {
        // 1.5% with an interval that excludes 1 by far.
        assert_eq!(verdicts(&[paired(0.015, 0.0005, 19)], 0.02), [Verdict::Equivalent]);
    }

    /// Four p-values with floor 0, by hand: 0.005, 0.011, 0.02, 0.04 against 0.0125, 0.0167, 0.025, 0.05: all pass; with the
    /// second at 0.018 only the first does, though the others would pass alone.
    #[test]
    fn holm_steps_down_and_stops() {
        let with = |p_values: [f64; 4]| -> Vec<Verdict> {
            let family: Vec<Paired> = p_values
                .iter()
                .map(|p| {
                    let t = crate::dist::student_t_quantile(1.0 - p / 2.0, 19.0);
                    paired(0.05 * t, 0.05, 19)
                })
                .collect();
            verdicts(&family, 0.0)
        };
        assert_eq!(with([0.04, 0.005, 0.011, 0.02]), [Verdict::Slower; 4]);
        assert_eq!(
            with([0.04, 0.005, 0.018, 0.02]),
            [Verdict::Inconclusive, Verdict::Slower, Verdict::Inconclusive, Verdict::Inconclusive]
        );
    }

    #[test]
    fn verdict_interval_and_p_value_agree() {
        let family = [paired(0.10, 0.02, 9), paired(0.07, 0.01, 9), paired(-0.2, 0.05, 9), paired(0.0, 0.01, 9)];
        for judgement in judge_family(&family, 0.02, 0.05) {
            let claimed = matches!(judgement.verdict, Verdict::Faster | Verdict::Slower);
            let beyond = judgement.adjusted.lower > 1.02 || judgement.adjusted.upper < 1.0 / 1.02;
            assert_eq!(claimed, beyond, "{judgement:?}");
            assert_eq!(claimed, judgement.p_adjusted < 0.05, "{judgement:?}");
        }
    }

    #[test]
    fn nothing_is_claimed_from_nonsense() {
        let family = [paired(0.5, 0.01, 4)];
        assert_eq!(verdicts(&family, f64::NAN), [Verdict::Inconclusive]);
        assert_eq!(judge_family(&family, 0.02, 2.0)[0].verdict, Verdict::Inconclusive);
        assert!(judge_family(&[], 0.02, 0.05).is_empty());
    }

    #[test]
    fn ratios_and_differences_are_judged_in_one_family_each_against_its_own_margin() {
        use crate::contrast::Scale;
        let difference = |mean: f64| Contrast { scale: Scale::Difference, mean, se: 1e5, df: 9 };
        let claim = |mean: f64, margin: f64| Claim { contrast: difference(mean), margin, may_be_equal: true };
        let ratio = Claim::ratio(Contrast::from(&paired(0.5, 0.01, 9)), 0.02);
        // 6 ms beyond 1 ms of noise; the same 6 ms within 7 ms; 6 ms less.
        let family = [claim(6e6, 1e6), ratio, claim(6e6, 7e6), claim(-6e6, 1e6)];
        let verdicts: Vec<Verdict> = judge(&family, 0.05).iter().map(|judgement| judgement.verdict).collect();
        assert_eq!(verdicts, [Verdict::Slower, Verdict::Slower, Verdict::Equivalent, Verdict::Faster]);
        let wide = Claim { may_be_equal: false, ..claim(6e6, 7e6) };
        assert_eq!(judge(&[wide], 0.05)[0].verdict, Verdict::Inconclusive);
        assert!((judge(&family[..1], 0.05)[0].adjusted.point - 6e6).abs() < 1e-6, "in the unit of the difference");
    }

    #[test]
    fn no_noise_at_all_is_judged_by_the_point() {
        assert_eq!(verdicts(&[paired(0.5, 0.0, 4), paired(0.0, 0.0, 4)], 0.02), [Verdict::Slower, Verdict::Equivalent]);
    }
}
