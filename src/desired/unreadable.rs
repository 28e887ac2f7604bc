//! Objects that this version of the operator cannot read, until that was reported: the latest version of each.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::core::error_boundary::InvalidObject;
use tokio::sync::Notify;

use super::node::Node;

/// What waits to be reported; no more than there are objects.
#[derive(Default)]
pub struct Unreadable {
    found: Mutex<HashMap<Node, InvalidObject>>,
    news: Notify,
}

impl Unreadable {
    fn found(&self) -> MutexGuard<'_, HashMap<Node, InvalidObject>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version was found that cannot be read.
    pub fn put(&self, node: Node, object: InvalidObject) {
        self.found().insert(node, object);
        self.news.notify_one();
    }

    /// One could not be reported: it waits on, unless there is a later version meanwhile.
    pub fn put_back(&self, node: Node, object: InvalidObject) {
        self.found().entry(node).or_insert(object);
        self.news.notify_one();
    }

    /// The object is gone, or can be read now.
    pub fn forget(&self, node: &Node) {
        self.found().remove(node);
    }

    /// Waits until there is something to report, and takes all of it.
    pub async fn take(&self) -> HashMap<Node, InvalidObject> {
        loop {
            let found = std::mem::take(&mut *self.found());
            if !found.is_empty() {
                return found;
            }
            self.news.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::ObjectMeta;

    use super::*;
    use crate::desired::node::Kind;

    fn version(version: &str) -> InvalidObject {
        InvalidObject {
            error: "unknown member".to_owned(),
            metadata: ObjectMeta {
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
        }
    }

    fn versions(taken: &HashMap<Node, InvalidObject>) -> Vec<&str> {
        taken
            .values()
            .filter_map(|object| object.metadata.resource_version.as_deref())
            .collect()
    }

    #[tokio::test]
    async fn the_latest_version_of_an_object_waits_once() {
        let (unreadable, node) = (Unreadable::default(), Node::new(Kind::Connection, "shop", "web"));
        for each in ["1", "2", "3"] {
            unreadable.put(node.clone(), version(each));
        }
        assert_eq!(versions(&unreadable.take().await), ["3"]);
        unreadable.put(node.clone(), version("4"));
        unreadable.put_back(node.clone(), version("3"));
        assert_eq!(versions(&unreadable.take().await), ["4"]);
        unreadable.put_back(node.clone(), version("4"));
        unreadable.forget(&node);
        assert!(unreadable.found().is_empty());
    }
}
