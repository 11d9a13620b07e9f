//! Python's `float` and `int` where minijinja's own numbers print otherwise or end.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{DynObject, Object, ObjectRepr};

/// A `float` that Python prints in another way than Rust; see [`PyFloat::value`].
#[derive(Debug)]
pub(super) struct PyFloat {
    /// The number.
    pub(super) value: f64,
}

impl PyFloat {
    /// A float as a template value: minijinja's own wherever both languages print the same text.
    pub(super) fn value(value: f64) -> Value {
        let plain = Value::from(value);
        if plain.to_string() == float_repr(value) { plain } else { Value::from_object(PyFloat { value }) }
    }
}

impl Object for PyFloat {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.value != 0.0
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        self.value.partial_cmp(&other.downcast_ref::<PyFloat>()?.value)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&float_repr(self.value))
    }
}

/// An `int` beyond 128 bits: it prints and serializes, and does not calculate.
#[derive(Debug)]
pub(super) struct BigInt {
    /// Decimal digits, with a minus sign if negative, without leading zeros.
    pub(super) digits: String,
}

impl BigInt {
    /// An integer as a template value: minijinja's own up to 128 bits.
    pub(super) fn value(digits: &str) -> Value {
        if let Ok(small) = digits.parse::<i64>() {
            return Value::from(small);
        }
        if let Ok(large) = digits.parse::<i128>() {
            return Value::from(large);
        }
        Value::from_object(BigInt { digits: digits.to_owned() })
    }
}

impl Object for BigInt {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits)
    }
}

/// `float.__repr__`: the shortest digits that read back as `value`, with an exponent below 1e-4 and
/// from 1e16 on.
pub(super) fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        // Rust writes 1.5e-7 and 1e16 where Python writes 1.5e-07 and 1e+16.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let mut text = value.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// The floating-point number of a value that is one (not an integer, not a boolean).
pub(super) fn as_float(value: &Value) -> Option<f64> {
    if value.is_number() && !value.is_integer() {
        return f64::try_from(value.clone()).ok();
    }
    value.downcast_object_ref::<PyFloat>().map(|float| float.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_the_native_range_keep_their_digits() {
        for digits in ["18446744073709551616", "-340282366920938463463374607431768211457"] {
            assert_eq!(BigInt::value(digits).to_string(), digits);
        }
        assert_eq!(PyFloat::value(1e22).to_string(), "1e+22");
        assert_eq!(PyFloat::value(2.5).to_string(), "2.5");
    }

    #[test]
    fn floats_print_as_in_python() {
        for (value, want) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (5e-324, "5e-324"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float_repr(value), want);
        }
    }
}
