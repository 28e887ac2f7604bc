// SPDX-License-Identifier: Apache-2.0

//! Names of objects, as the graph and the mirrors key them.

use std::{fmt, sync::Arc};

use crate::manager::values::Reference;

/// Kinds of objects that the operator watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `ManagerCredential`
    Credential,
    /// `DigitalMessagingInterface`
    Interface,
    /// `ChannelConnection`
    Connection,
    /// A Secret that opted in.
    Secret,
    /// A Secret with outputs.
    Output,
}

impl Kind {
    /// The Kubernetes kind.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "ManagerCredential",
            Self::Interface => "DigitalMessagingInterface",
            Self::Connection => "ChannelConnection",
            Self::Secret | Self::Output => "Secret",
        }
    }

    /// The plural, as in metrics and RBAC.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Credential => "managercredentials",
            Self::Interface => "digitalmessaginginterfaces",
            Self::Connection => "channelconnections",
            Self::Secret | Self::Output => "secrets",
        }
    }
}

/// One object: kind, namespace and name. Keyed by namespace although references do not leave theirs, so that they could.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Kind.
    pub kind: Kind,
    /// Namespace.
    pub namespace: Arc<str>,
    /// Name.
    pub name: Arc<str>,
}

impl Node {
    /// A node.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// Another object of the same namespace.
    #[must_use]
    pub fn sibling(&self, kind: Kind, name: &str) -> Self {
        Self {
            kind,
            namespace: self.namespace.clone(),
            name: name.into(),
        }
    }

    /// The external reference by which a manager remembers the object.
    pub fn reference(&self, installation: &str) -> Reference {
        Reference::new(installation, self.kind.as_str(), &self.namespace, &self.name)
    }

    /// The object behind an external reference, if this installation made it.
    pub fn of_reference(installation: &str, reference: &str) -> Option<Self> {
        let mut parts = reference.strip_prefix(installation)?.strip_prefix('/')?.split('/');
        let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = [Kind::Interface, Kind::Connection]
            .into_iter()
            .find(|known| known.as_str() == kind)?;
        parts.next().is_none().then(|| Self::new(kind, namespace, name))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_leads_back_to_its_object() {
        let node = Node::new(Kind::Connection, "shop", "web");
        let reference = node.reference("prod");
        assert_eq!(reference.as_str(), "prod/ChannelConnection/shop/web");
        assert_eq!(Node::of_reference("prod", reference.as_str()), Some(node));
        for foreign in [
            "other/ChannelConnection/shop/web",
            "prodChannelConnection/shop/web",
            "prod/Secret/shop/web",
            "prod/ChannelConnection/shop/web/x",
            "prod",
        ] {
            assert_eq!(Node::of_reference("prod", foreign), None, "{foreign}");
        }
    }
}
