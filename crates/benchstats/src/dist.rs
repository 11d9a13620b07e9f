//! Distribution functions and their inverses, accurate to about 1e-12 (see the tests, which hold them against tables).
//!
//! Arguments outside their range (a probability not in `[0, 1]`, degrees of freedom not above 0) give NaN, so that a
//! comparison with the result is false and nothing is claimed.

mod beta;
mod gamma;
mod normal;
mod root;

pub use beta::{
    binomial_cdf, binomial_survival, f_cdf, f_survival, regularized_beta, student_t_cdf, student_t_quantile,
};
pub use gamma::ln_gamma;
pub use normal::{normal_cdf, normal_quantile};

#[cfg(test)]
mod tests;
