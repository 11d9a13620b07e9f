//! A bound on how deep a template nests values.
//!
//! `{% set ns.x = [ns.x] %}` in a loop builds a list in a list in a list …; dropping, comparing or printing it
//! recurses once a level and would overflow the stack, which ends the process. Only assignments can build
//! such values without an equally deep source (whose nesting the parser bounds), so the source is rewritten to
//! pass what it assigns through a filter that measures the depth now and then.

use minijinja::value::ValueKind;
use minijinja::{Environment, Error, State, Value};

use super::error::too_deep;
use super::pyvalue::{PyDict, PyList};
use super::pyview::PyView;

/// The filter behind an assignment that adds few levels; it measures every eighth container.
pub(super) const BOUNDED: &str = "__bounded";
/// The filter behind an assignment that can add many; it measures each.
pub(super) const BOUNDED_NOW: &str = "__bounded_now";

/// Brackets and filters in an expression up to which it counts as adding few levels.
pub(super) const FEW: usize = 8;

/// Containers assigned between two measurements.
const STRIDE: u32 = 8;

/// Deepest value that may be assigned.
const MAX_LEVELS: usize = 250;

/// Containers assigned so far in this rendering.
struct Assigned(u32);

/// Adds the filters.
pub(super) fn add(env: &mut Environment<'static>) {
    env.add_filter(BOUNDED, |state: &mut State, value: &Value| bounded(state, value, STRIDE));
    env.add_filter(BOUNDED_NOW, |state: &mut State, value: &Value| bounded(state, value, 1));
}

fn bounded(state: &mut State, value: &Value, stride: u32) -> Result<Value, Error> {
    if !is_open(value) {
        return Ok(value.clone());
    }
    // A slice is lazy and holds what it slices; a slice of a slice of a slice would be a chain.
    let value = if value.kind() == ValueKind::Iterable {
        let mut items = Vec::new();
        for item in value.try_iter()?.checked() {
            state.consume_fuel(1)?;
            items.push(item?);
        }
        Value::from(items)
    } else {
        value.clone()
    };
    let assigned = state.get_or_insert_extension(Assigned(0));
    assigned.0 = assigned.0.wrapping_add(1);
    if assigned.0.is_multiple_of(stride) {
        measure(state, &value)?;
    }
    Ok(value)
}

/// Whether a template can have built the value from others; those of a conversation are as deep as their JSON.
fn is_open(value: &Value) -> bool {
    value.as_object().is_some()
        && value.downcast_object_ref::<PyDict>().is_none()
        && value.downcast_object_ref::<PyList>().is_none()
        && value.downcast_object_ref::<PyView>().is_none()
}

fn measure(state: &State, value: &Value) -> Result<(), Error> {
    let mut open = vec![(value.clone(), 0)];
    while let Some((value, level)) = open.pop() {
        if level > MAX_LEVELS {
            return Err(too_deep(MAX_LEVELS));
        }
        let Some(object) = value.as_object() else { continue };
        let mut visit = |item: Value| {
            if is_open(&item) {
                open.push((item, level + 1));
            }
        };
        match value.kind() {
            ValueKind::Map => {
                for (key, item) in object.try_iter_pairs().into_iter().flatten() {
                    state.consume_fuel(1)?;
                    visit(key);
                    visit(item);
                }
            }
            ValueKind::Seq | ValueKind::Iterable => {
                for item in object.try_iter().into_iter().flatten() {
                    state.consume_fuel(1)?;
                    visit(item);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
