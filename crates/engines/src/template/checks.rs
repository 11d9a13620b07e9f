//! jinja2's tests (`x is string`) where minijinja's answer otherwise.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

use super::pynumber::{BigInt, PyFloat, as_float};
use super::pyview::PyView;

/// Replaces the tests.
pub(super) fn add(env: &mut Environment<'static>) {
    env.add_test("string", |value: &Value| value.kind() == ValueKind::String);
    env.add_test("boolean", |value: &Value| value.kind() == ValueKind::Bool);
    env.add_test("mapping", |value: &Value| value.kind() == ValueKind::Map);
    env.add_test("integer", is_integer);
    env.add_test("float", |value: &Value| as_float(value).is_some());
    env.add_test("number", |value: &Value| {
        value.kind() == ValueKind::Bool || is_integer(value) || as_float(value).is_some()
    });
    // Whatever has a length and `[]`: in Python also text, dictionaries and jinja2's undefined.
    env.add_test("sequence", |value: &Value| {
        value.downcast_object_ref::<PyView>().is_none()
            && matches!(
                value.kind(),
                ValueKind::String | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::Undefined
            )
    });
    env.add_test("iterable", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::String | ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::Undefined
        )
    });
    env.add_test("callable", |value: &Value| {
        value.kind() == ValueKind::Plain
            && value.downcast_object_ref::<BigInt>().is_none()
            && value.downcast_object_ref::<PyFloat>().is_none()
    });
    env.remove_test("int");
    env.remove_test("startingwith");
    env.remove_test("endingwith");
}

fn is_integer(value: &Value) -> bool {
    value.is_integer() || value.downcast_object_ref::<BigInt>().is_some()
}
