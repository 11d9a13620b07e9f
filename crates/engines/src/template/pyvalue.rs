//! Python objects that minijinja's own values cannot stand for.
//!
//! Dictionaries and lists of a conversation are objects of ours because of two things that template
//! code sees: they print as Python prints them wherever they become text (also within `~`, which no
//! filter can reach), and `d.items` is the method of `dict` even if the dictionary has a key `items`
//! (JSON schemas do), while `d['items']` is the entry.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectExt, ObjectRepr};
use minijinja::{Error, State, Value};

use super::methods::{DICT_METHODS, call_method};
use super::pyrepr::render_repr;

/// Entries up to which a linear search beats a hash table.
const LINEAR: usize = 12;

/// A `dict` with text keys, in insertion order.
pub(super) struct PyDict {
    entries: Vec<(Value, Value)>,
    index: Option<HashMap<Box<str>, usize>>,
}

impl PyDict {
    /// A dictionary as a template value; a key that comes twice keeps its place and takes the last value.
    pub(super) fn value(pairs: impl Iterator<Item = (String, Value)>) -> Value {
        let mut dict = PyDict { entries: Vec::with_capacity(pairs.size_hint().0), index: None };
        for (key, value) in pairs {
            match dict.position(&key) {
                Some(at) => dict.entries[at].1 = value,
                None => dict.push(key, value),
            }
        }
        dict.entries.shrink_to_fit();
        Value::from_object(dict)
    }

    fn push(&mut self, key: String, value: Value) {
        if let Some(index) = &mut self.index {
            index.insert(key.as_str().into(), self.entries.len());
        }
        self.entries.push((Value::from(key), value));
        if self.index.is_none() && self.entries.len() > LINEAR {
            let names = self.entries.iter().enumerate();
            self.index = Some(names.filter_map(|(at, (key, _))| Some((key.as_str()?.into(), at))).collect());
        }
    }

    fn position(&self, key: &str) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(key).copied(),
            None => self.entries.iter().position(|(have, _)| have.as_str() == Some(key)),
        }
    }

    /// The entry of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.position(key).map(|at| &self.entries[at].1)
    }
}

impl fmt::Debug for PyDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries.iter().map(|(key, value)| (key, value))).finish()
    }
}

impl Object for PyDict {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get(key.as_str()?).cloned()
    }

    /// Attribute access, `d.key`: the methods of `dict` come first.
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        if let Some(name) = DICT_METHODS.iter().find(|name| **name == key) {
            let receiver = Value::from_dyn_object(self.clone());
            return Some(Value::from_object(BoundMethod { receiver, name }));
        }
        self.get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.mapped_key_value_enumerator(|this| Box::new(this.entries.iter().cloned()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.entries.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render_repr(&Value::from_dyn_object(self.clone()), f)
    }
}

/// A `list`.
pub(super) struct PyList(pub(super) Vec<Value>);

impl fmt::Debug for PyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl Object for PyList {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }

    fn get_value_by_str(self: &Arc<Self>, _key: &str) -> Option<Value> {
        None
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        render_repr(&Value::from_dyn_object(self.clone()), f)
    }
}

/// A method of a value that was looked up and not called: `{% set get = d.get %}`.
#[derive(Debug)]
pub(super) struct BoundMethod {
    receiver: Value,
    name: &'static str,
}

impl Object for BoundMethod {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        call_method(state, &self.receiver, self.name, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<built-in method {} of dict object>", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dict_keeps_order_and_finds_every_key_small_and_large() {
        for size in [3usize, 40] {
            let pairs = (0..size).map(|n| (format!("k{n}"), Value::from(n)));
            let value = PyDict::value(pairs.chain([("k1".to_owned(), Value::from("last"))]));
            let keys: Vec<String> = value.try_iter().unwrap().map(|key| key.to_string()).collect();
            assert_eq!(keys, (0..size).map(|n| format!("k{n}")).collect::<Vec<_>>());
            assert_eq!(value.get_item(&Value::from("k1")).unwrap(), Value::from("last"));
            assert_eq!(value.get_attr("k2").unwrap(), Value::from(2));
            assert!(value.get_item(&Value::from("k99")).unwrap().is_undefined());
        }
    }

    #[test]
    fn items_is_a_method_by_attribute_and_an_entry_by_subscript() {
        let value = PyDict::value([("items".to_owned(), Value::from("entry"))].into_iter());
        assert_eq!(value.get_item(&Value::from("items")).unwrap(), Value::from("entry"));
        assert!(value.get_attr("items").unwrap().downcast_object_ref::<BoundMethod>().is_some());
    }
}
