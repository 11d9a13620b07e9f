//! What `dict.items()`, `keys()` and `values()` give.

use std::fmt;
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr};

use super::pyrepr::render_repr;

/// A view of a `dict` (`d.items()`): it can be iterated and counted, and it is no sequence.
#[derive(Debug)]
pub(super) struct PyView(pub(super) Vec<Value>);

impl Object for PyView {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_enumerator(|this| Box::new(this.0.iter().cloned()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render_repr(&Value::from_dyn_object(self.clone()), f)
    }
}
