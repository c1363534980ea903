//! The targets of a snapshot, shared with the snapshots before and after it.

use std::{
    ops::{Index, IndexMut},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::Target;

/// Targets in an order. A copy shares them with what it is a copy of, however many they are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Targets(Vec<Arc<Target>>);

impl Targets {
    /// All of them, in their order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Target> + ExactSizeIterator + Clone {
        self.into_iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one at this place.
    pub fn get(&self, place: usize) -> Option<&Target> {
        self.0.get(place).map(shown)
    }

    /// The first.
    pub fn first(&self) -> Option<&Target> {
        self.get(0)
    }

    /// Keeps those alone that are `wanted`.
    pub fn retain(&mut self, mut wanted: impl FnMut(&Target) -> bool) {
        self.0.retain(|target| wanted(target));
    }

    /// Puts `target` at this place, if there is one.
    pub fn put(&mut self, place: usize, target: Target) {
        if let Some(old) = self.0.get_mut(place)
            && **old != target
        {
            *old = Arc::new(target);
        }
    }

    /// Takes away the one at this place.
    ///
    /// # Panics
    ///
    /// Where there is none.
    pub fn remove(&mut self, place: usize) -> Target {
        Arc::unwrap_or_clone(self.0.remove(place))
    }

    /// All of them, to be changed: in this snapshot alone.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.into_iter()
    }
}

impl Index<usize> for Targets {
    type Output = Target;

    fn index(&self, place: usize) -> &Target {
        &self.0[place]
    }
}

impl IndexMut<usize> for Targets {
    fn index_mut(&mut self, place: usize) -> &mut Target {
        Arc::make_mut(&mut self.0[place])
    }
}

impl From<Vec<Target>> for Targets {
    fn from(targets: Vec<Target>) -> Self {
        targets.into_iter().collect()
    }
}

impl FromIterator<Target> for Targets {
    fn from_iter<I: IntoIterator<Item = Target>>(targets: I) -> Self {
        Self(targets.into_iter().map(Arc::new).collect())
    }
}

impl<'a> IntoIterator for &'a Targets {
    type Item = &'a Target;
    type IntoIter = std::iter::Map<std::slice::Iter<'a, Arc<Target>>, fn(&Arc<Target>) -> &Target>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(shown)
    }
}

impl<'a> IntoIterator for &'a mut Targets {
    type Item = &'a mut Target;
    type IntoIter =
        std::iter::Map<std::slice::IterMut<'a, Arc<Target>>, fn(&mut Arc<Target>) -> &mut Target>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter_mut().map(Arc::make_mut)
    }
}

impl IntoIterator for Targets {
    type Item = Target;
    type IntoIter = std::iter::Map<std::vec::IntoIter<Arc<Target>>, fn(Arc<Target>) -> Target>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(Arc::unwrap_or_clone)
    }
}

fn shown(target: &Arc<Target>) -> &Target {
    target
}

#[cfg(test)]
impl schemars::JsonSchema for Targets {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Targets".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Vec::<Target>::json_schema(generator)
    }
}
