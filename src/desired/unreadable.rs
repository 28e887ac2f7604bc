// SPDX-License-Identifier: Apache-2.0

//! Objects that this version of the operator cannot read: which there are, and the latest version of each until that was
//! reported.
//!
//! Nobody knows what such an object refers to. So what it might need for being cleaned up one day stays in its namespace.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::core::error_boundary::InvalidObject;
use tokio::sync::Notify;

use super::node::{Kind, Node};
use crate::api::has_finalizer;

/// What waits to be reported; no more than there are objects.
#[derive(Default)]
pub struct Unreadable {
    found: Mutex<HashMap<Node, InvalidObject>>,
    /// Those with our finalizer.
    kept: Mutex<HashSet<Node>>,
    news: Notify,
}

impl Unreadable {
    fn found(&self) -> MutexGuard<'_, HashMap<Node, InvalidObject>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> MutexGuard<'_, HashSet<Node>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version was found that cannot be read. Whether others may have been kept for its sake and need not be any more.
    pub fn put(&self, node: Node, object: InvalidObject) -> bool {
        let let_go = if has_finalizer(&object.metadata) {
            self.kept().insert(node.clone());
            false
        } else {
            self.kept().remove(&node)
        };
        self.found().insert(node, object);
        self.news.notify_one();
        let_go
    }

    /// One could not be reported: it waits on, unless there is a later version meanwhile.
    pub fn put_back(&self, node: Node, object: InvalidObject) {
        self.found().entry(node).or_insert(object);
        self.news.notify_one();
    }

    /// The object is gone, or can be read now. Whether others may have been kept for its sake.
    pub fn forget(&self, node: &Node) -> bool {
        self.found().remove(node);
        self.kept().remove(node)
    }

    /// The objects of a kind in a namespace that cannot be read and must be cleaned up before they go.
    pub fn kept_in(&self, namespace: &str, kind: Kind) -> Vec<Node> {
        let kept = self.kept();
        let here = kept.iter().filter(|node| node.kind == kind && &*node.namespace == namespace);
        here.cloned().collect()
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

    #[test]
    fn whoever_must_be_cleaned_up_is_known_until_it_goes_or_lets_go() {
        let (unreadable, node) = (Unreadable::default(), Node::new(Kind::Connection, "shop", "web"));
        let mut object = version("1");
        object.metadata.finalizers = Some(vec![crate::api::FINALIZER.to_owned()]);
        unreadable.put(node.clone(), object.clone());
        assert_eq!(unreadable.kept_in("shop", Kind::Connection), std::slice::from_ref(&node));
        assert!(
            unreadable.kept_in("shop", Kind::Interface).is_empty() && unreadable.kept_in("mall", Kind::Connection).is_empty()
        );
        unreadable.put(node.clone(), version("2"));
        assert!(unreadable.kept_in("shop", Kind::Connection).is_empty() && !unreadable.forget(&node));
        unreadable.put(node.clone(), object);
        assert!(unreadable.forget(&node) && !unreadable.forget(&node));
    }
}
