// SPDX-License-Identifier: Apache-2.0

//! Looks before the start whether the operator can work here, so that it fails with one clear message instead of waiting.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{
    Api, Client, Resource,
    api::{ListParams, PostParams},
    core::{NamespaceResourceScope, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{installation, lease};
use crate::{
    api::{ChannelConnection, DigitalMessagingInterface, GROUP, ManagerCredential},
    desired::pump::Scope,
};

/// Why the operator cannot work here.
#[derive(Debug, Error)]
pub enum PreflightError {
    /// No API server.
    #[error("cannot reach the Kubernetes API: {0}")]
    Unreachable(#[source] Box<kube::Error>),
    /// The custom resource definitions are not installed.
    #[error(
        "the custom resource {0}.{GROUP} is not installed; install the chart digital-messaging-operator-crds, or: kubectl apply --server-side -f crds/"
    )]
    MissingDefinition(String),
    /// Rights are missing.
    #[error("this service account may not: {}. Apply the roles of this version: upgrade the Helm chart, or apply deploy/overlays/", .0.join("; "))]
    MissingRights(Vec<String>),
}

/// A right that the operator needs. The roles in `charts/` grant these and no others.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// The plural name.
    pub resource: &'static str,
    /// Such as `status`, else empty.
    pub subresource: &'static str,
    /// The only object that it is needed for, if there is one.
    pub name: Option<&'static str>,
    /// What is done.
    pub verbs: &'static [&'static str],
    /// In the operator's own namespace instead of the watched ones.
    pub own: bool,
}

/// A right in the watched namespaces.
const fn watched(
    group: &'static str,
    resource: &'static str,
    subresource: &'static str,
    verbs: &'static [&'static str],
) -> Right {
    Right {
        group,
        resource,
        subresource,
        name: None,
        verbs,
        own: false,
    }
}

/// A right in the operator's own namespace.
const fn own(group: &'static str, resource: &'static str, name: Option<&'static str>, verbs: &'static [&'static str]) -> Right {
    Right {
        group,
        resource,
        subresource: "",
        name,
        verbs,
        own: true,
    }
}

const SPEC: &[&str] = &["get", "list", "watch", "patch"];
const STATUS: &[&str] = &["update", "patch"];

/// All rights that the operator needs.
pub const RIGHTS: &[Right] = &[
    watched(GROUP, "managercredentials", "", SPEC),
    watched(GROUP, "digitalmessaginginterfaces", "", SPEC),
    watched(GROUP, "channelconnections", "", SPEC),
    watched(GROUP, "managercredentials", "status", STATUS),
    watched(GROUP, "digitalmessaginginterfaces", "status", STATUS),
    watched(GROUP, "channelconnections", "status", STATUS),
    watched("", "secrets", "", &["get", "list", "watch", "create", "update", "delete"]),
    watched("events.k8s.io", "events", "", &["create", "patch"]),
    // A create cannot be limited to a name: it is not known yet when the right is looked up.
    own("", "secrets", None, &["create"]),
    own("", "secrets", Some(installation::SECRET), &["get", "update"]),
    own("coordination.k8s.io", "leases", None, &["create"]),
    own("coordination.k8s.io", "leases", Some(lease::LEASE), &["get", "update"]),
];

/// Checks definitions and rights.
///
/// # Errors
/// See [`PreflightError`].
pub async fn check(client: &Client, scope: &Scope, own_namespace: &str) -> Result<(), PreflightError> {
    client
        .apiserver_version()
        .await
        .map_err(|error| PreflightError::Unreachable(Box::new(error)))?;
    defined::<ManagerCredential>(client, scope).await?;
    defined::<DigitalMessagingInterface>(client, scope).await?;
    defined::<ChannelConnection>(client, scope).await?;
    let mut missing = Vec::new();
    for right in RIGHTS {
        let namespaces: Vec<Option<&str>> = match scope {
            _ if right.own => vec![Some(own_namespace)],
            Scope::Cluster => vec![None],
            Scope::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        };
        for namespace in namespaces {
            for verb in right.verbs {
                if !allowed(client, right, verb, namespace).await? {
                    missing.push(describe(right, verb, namespace));
                }
            }
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(PreflightError::MissingRights(missing))
    }
}

async fn defined<K>(client: &Client, scope: &Scope) -> Result<(), PreflightError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let Some(api) = scope.apis::<PartialObjectMeta<K>>(client).into_iter().next() else {
        return Ok(());
    };
    match api.list_metadata(&ListParams::default().limit(1)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Err(PreflightError::MissingDefinition(K::plural(&()).into_owned()))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(PreflightError::Unreachable(Box::new(error))),
        Ok(_) => Ok(()),
    }
}

async fn allowed(client: &Client, right: &Right, verb: &str, namespace: Option<&str>) -> Result<bool, PreflightError> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(right.group.to_owned()),
                resource: Some(right.resource.to_owned()),
                subresource: Some(right.subresource.to_owned()).filter(|name| !name.is_empty()),
                name: right.name.map(str::to_owned),
                verb: Some(verb.to_owned()),
                namespace: namespace.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api
        .create(&PostParams::default(), &review)
        .await
        .map_err(|error| PreflightError::Unreachable(Box::new(error)))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

fn describe(right: &Right, verb: &str, namespace: Option<&str>) -> String {
    let group = if right.group.is_empty() {
        String::new()
    } else {
        format!(".{}", right.group)
    };
    let subresource = if right.subresource.is_empty() {
        String::new()
    } else {
        format!("/{}", right.subresource)
    };
    let place = namespace.map_or_else(|| "in all namespaces".to_owned(), |name| format!("in namespace {name}"));
    let name = right.name.map(|name| format!(" ({name})")).unwrap_or_default();
    format!("{verb} {}{group}{subresource} {place}{name}", right.resource)
}
