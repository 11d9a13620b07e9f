//! Random numbers whose stream stays the same between versions.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Samples of the distributions that schedules need, from a seed. ChaCha's stream is fixed by its definition; the sampling
/// is written here because that of crates may change between versions.
#[derive(Debug, Clone)]
pub struct Sampler {
    rng: ChaCha8Rng,
}

impl Sampler {
    /// A stream of its own for each seed and use. Uses longer than 24 bytes are told apart by their first 24.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut key = [0_u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        for (to, from) in key[8..].iter_mut().zip(purpose.bytes()) {
            *to = from;
        }
        Self { rng: ChaCha8Rng::from_seed(key) }
    }

    /// Uniform in (0, 1): the middle of one of 2⁵³ equal parts, so that its logarithm is finite.
    pub fn uniform(&mut self) -> f64 {
        ((self.rng.next_u64() >> 11) as f64 + 0.5) * (1.0 / (1_u64 << 53) as f64)
    }

    /// Exponential with mean 1: `−ln U` (inversion).
    pub fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Standard normal: `√(−2 ln U₁) · cos 2πU₂` (Box and Muller 1958). The second value is not kept: no state but the stream.
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Gamma of the given shape (above 0) and scale 1 (Marsaglia and Tsang, A simple method for generating gamma variables,
    /// ACM TOMS 26(3), 2000): with `d = shape − 1/3`, `c = 1/√(9d)`, `v = (1 + c·x)³` of a normal `x`, take `d·v` if
    /// `ln U < x²/2 + d − d·v + d·ln v`. Below shape 1 (their section 6): `gamma(shape + 1) · U^(1/shape)`.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let boosted = self.gamma(shape + 1.0);
            return boosted * self.uniform().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// Log-normal with median 1 and the given σ of its logarithm.
    pub fn log_normal(&mut self, sigma: f64) -> f64 {
        (sigma * self.normal()).exp()
    }
}
