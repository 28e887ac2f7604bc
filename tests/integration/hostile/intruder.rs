// SPDX-License-Identifier: Apache-2.0

//! Whoever attacks: a service account with few rights in one namespace, and what it runs elsewhere.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::Request,
    response::{IntoResponse, Response},
};
use digital_messaging_operator::api::{ChannelConnection, DigitalMessagingInterface, ManagerCredential};
use http::StatusCode;
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::Secret,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::{DynamicObject, NamespaceResourceScope},
    discovery::ApiResource,
};
use sandbox::{Manifests, wait_for};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::scene::{DEADLINE, Scene};

/// A service account with all rights on our resources in one namespace, on their status only if it says so, and on nothing else.
pub struct Intruder {
    pub client: Client,
    pub namespace: String,
}

/// What it may do beside changing our resources.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rights {
    /// Write their status.
    pub status: bool,
    /// All with Secrets.
    pub secrets: bool,
}

impl Intruder {
    /// One in the scene's namespace.
    pub async fn new(scene: &Scene, rights: Rights) -> Self {
        Self::within(scene, &scene.namespace, rights).await
    }

    /// One in another namespace.
    pub async fn within(scene: &Scene, namespace: &str, rights: Rights) -> Self {
        let mut resources = vec!["managercredentials", "digitalmessaginginterfaces", "channelconnections"];
        if rights.status {
            resources.extend([
                "managercredentials/status",
                "digitalmessaginginterfaces/status",
                "channelconnections/status",
            ]);
        }
        let mut rules = vec![json!({ "apiGroups": ["digitalmessaging.io"], "resources": resources, "verbs": ["*"] })];
        if rights.secrets {
            rules.push(json!({ "apiGroups": [""], "resources": ["secrets"], "verbs": ["*"] }));
        }
        let rbac = "rbac.authorization.k8s.io";
        let objects = [
            json!({ "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": { "name": "intruder" }, "rules": rules }),
            json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": { "name": "intruder" },
                "roleRef": { "apiGroup": rbac, "kind": "Role", "name": "intruder" },
                "subjects": [{ "kind": "ServiceAccount", "name": "intruder", "namespace": namespace }],
            }),
        ];
        let control_plane = sandbox::shared().await;
        let kubeconfig = control_plane
            .kubeconfig_for_service_account(namespace, "intruder")
            .await
            .unwrap();
        let text = objects.map(|object| object.to_string()).join("\n---\n");
        let manifests = Manifests::parse(&text).unwrap().in_namespace(namespace);
        manifests.apply(&scene.client).await.unwrap();
        let client = sandbox::kubeconfig::client(&kubeconfig).await.unwrap();
        let intruder = Self {
            client,
            namespace: namespace.to_owned(),
        };
        wait_for("the intruder's rights to take effect", DEADLINE, async || {
            if intruder.may("create", "digitalmessaging.io", "channelconnections").await {
                Ok(())
            } else {
                Err("not yet")
            }
        })
        .await
        .unwrap();
        assert_eq!(intruder.may("get", "", "secrets").await, rights.secrets);
        intruder
    }

    async fn may(&self, verb: &str, group: &str, resource: &str) -> bool {
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(self.namespace.clone()),
                    verb: Some(verb.to_owned()),
                    group: Some(group.to_owned()),
                    resource: Some(resource.to_owned()),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = reviews.create(&PostParams::default(), &review).await.unwrap();
        answer.status.is_some_and(|status| status.allowed)
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Creates objects, in order.
    pub async fn create_all(&self, objects: impl IntoIterator<Item = Value>) {
        for object in objects {
            self.create(object).await.unwrap();
        }
    }

    /// Creates an object.
    pub async fn create(&self, object: Value) -> kube::Result<()> {
        let resource = match object["kind"].as_str().unwrap() {
            "ManagerCredential" => ApiResource::erase::<ManagerCredential>(&()),
            "DigitalMessagingInterface" => ApiResource::erase::<DigitalMessagingInterface>(&()),
            "ChannelConnection" => ApiResource::erase::<ChannelConnection>(&()),
            "Secret" => ApiResource::erase::<Secret>(&()),
            other => panic!("{other}"),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.map(drop)
    }

    /// Changes an object by a merge patch.
    pub async fn patch<K>(&self, name: &str, patch: Value)
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let patch = Patch::Merge(patch);
        self.api::<K>().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Writes into an object's status by a merge patch.
    pub async fn forge<K>(&self, name: &str, status: impl Serialize)
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        let patch = Patch::Merge(json!({ "status": status }));
        self.api::<K>()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Deletes an object.
    pub async fn delete<K>(&self, name: &str)
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned,
    {
        self.api::<K>().delete(name, &DeleteParams::default()).await.unwrap();
    }
}

/// An object with `suspend: true`, so that its status can be forged before it is looked at.
pub fn suspended(mut object: Value) -> Value {
    object["spec"]["suspend"] = json!(true);
    object
}

/// A listener that nobody is to call, and how often someone did.
pub struct Trap {
    pub address: SocketAddr,
    calls: Arc<AtomicUsize>,
}

impl Trap {
    /// Opens one at this address.
    pub async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let (address, calls) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = calls.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { address, calls }
    }

    /// Connections so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Something that answers in place of a manager.
pub struct EvilManager {
    pub url: String,
}

impl EvilManager {
    /// Answers every request by `answer`.
    pub async fn start<A, F>(answer: A) -> Self
    where
        A: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send,
    {
        Self::start_on("127.0.0.1:0", answer).await
    }

    /// The same, at this address.
    pub async fn start_on<A, F>(address: &str, answer: A) -> Self
    where
        A: Fn(Request) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url: format!("http://{address}"),
        }
    }
}

/// The answer of a manager that opens the account of this Manager ID to anyone.
pub fn account(manager_id: &str) -> Response {
    Json(json!({
        "managerId": manager_id, "name": "evil", "region": "local", "apiVersion": "v1", "authenticationMethod": "JWT",
        "serverTime": jiff::Timestamp::now(), "channels": [{ "type": "webMessaging", "support": "create" }],
    }))
    .into_response()
}

/// The answer of a manager that lists nothing.
pub fn empty_list() -> Response {
    Json(json!({ "items": [], "revision": 1, "next": 1 })).into_response()
}

/// A problem of the contract.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": "evil", "status": status.as_u16(), "code": code, "detail": detail });
    (status, Json(body)).into_response()
}
